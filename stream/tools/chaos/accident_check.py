"""Checks what the workers do after an accident, and runs the command that they name."""

from collections.abc import Callable
from time import monotonic

import orjson

from stream.errors import Fatal
from stream.kafka.clients import make_admin, reader_options
from stream.kafka.topics import names
from stream.tools.chaos.accident import SHOW, AccidentReport, resume_command
from stream.tools.chaos.accident_injector import AccidentInjector
from stream.tools.chaos.fleet import Fleet, Restart
from stream.tools.chaos.kafka_tear import run_command
from stream.tools.chaos.waiter import Waiter
from stream.tools.kafka.topic_reader import StoredRecord, read_topic

NOTICE_S_MAX = 20.0  # without another refusal; then the running workers are restarted
SETTLED_S_MAX = 150.0
STARTS = (False, True)  # whether to delete the state folders first
REFILL_PREFIX = b"refill-"  # of the keys of input that an accident put into a log


class AccidentCheck:
    """Checks what the workers do after an accident; the result is in `report`."""

    def __init__(
        self, report: AccidentReport, injector: AccidentInjector, fleet: Fleet, waiter: Waiter
    ) -> None:
        self._report = report
        self._settings = injector.settings
        self._injector = injector
        self._fleet = fleet
        self._until = waiter.until

    def wait_settled(self, watch: Callable[[], Callable[[], bool]]) -> None:
        """Wait until all workers refused, or all partitions continue, also after a restart of the workers.

        `watch` starts watching the partitions; its result tells whether all of them continued since.
        """
        fleet, report, began = self._fleet, self._report, monotonic()
        refused = -1
        while refused < len(fleet.refusals) < len(fleet.workers):
            refused = len(fleet.refusals)
            self._until(lambda: len(fleet.refusals) > refused, NOTICE_S_MAX)  # noqa: B023 - used at once
        if fleet.all_refused:
            report.is_settled = True
        else:
            all_continued = watch()
            for worker in fleet.workers:
                if worker.is_running:
                    worker.stop()  # the fleet starts it again: a partition is checked when it is assigned
            report.is_settled = self._until(lambda: fleet.all_refused or all_continued(), SETTLED_S_MAX)
        report.refused_s = monotonic() - began
        report.refusals = list(fleet.refusals.values())

    def go_on(self) -> bool:
        """Run the command that the fixes name, and start the workers; False if the fix is to start over.

        The fixes are those of `offsets show`, and those of workers that do not refer to it.

        Raises:
            Fatal: the command failed.
        """
        self._injector.wait_until_unused()
        shown = run_command(self._settings, "offsets", "show", "--format", "json")
        if not shown.stdout:
            status = shown.returncode
            raise Fatal(f"`anagram-stream offsets show` exited with status {status}: {shown.stderr}")
        partitions = orjson.loads(shown.stdout)["partitions"]
        fixes = [each["fix"] for each in partitions if each["refused"] is not None]
        self._report.shown = len(fixes)
        fixes += [refusal.fix for refusal in self._report.refusals if SHOW not in refusal.fix]
        command = resume_command(fixes)
        if fixes and command is None:
            return False
        if command is not None:
            self._report.commands.append(f"anagram-stream {command} --yes")
            resumed = run_command(self._settings, *command.split(), "--yes")
            if resumed.returncode:
                raise Fatal(f"`anagram-stream {command} --yes` failed: {resumed.stdout}{resumed.stderr}")
        self._fleet.restart = Restart.ALL
        self._fleet.start_again()
        return True

    def check_final(self) -> str:
        """Check that the next workers refuse too, with and without state folders, and change nothing."""
        report, fleet, committed = self._report, self._fleet, self._injector.committed()
        report.is_final = True
        for wipe in STARTS:
            fleet.start_again(wipe=wipe)
            report.refused_again += self._until(lambda: fleet.all_refused, SETTLED_S_MAX)
        report.records_after = self._records_after()
        report.records_after += sum(
            offset != committed[partition] and report.change.concerns(partition)
            for partition, offset in self._injector.committed().items()
        )
        is_refused = report.refused_again == len(STARTS) and not report.records_after
        return "" if is_refused else "after the refusal, restarted workers continued or changed something"

    def _records_after(self) -> int:
        """Count the records that the workers read from the replaced log or wrote to it."""
        role, change = self._report.kind.role, self._report.change
        if role == "offsets":
            return 0
        if role == "input":
            outcomes = self._read("result") + self._read("dead-letter")
            return sum(
                (record.key or b"").startswith(REFILL_PREFIX) and change.concerns(record.partition)
                for record in outcomes  # on the partition with the number of their input's
            )
        return sum(
            change.concerns(record.partition) and record.offset >= change.offset
            for record in self._read(role)
        )

    def _read(self, role: str) -> list[StoredRecord]:
        topic = names(self._settings)[role]
        return list(read_topic(reader_options(self._settings), make_admin(self._settings), topic))
