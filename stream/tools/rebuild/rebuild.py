"""Rebuilds the totals as of a moment from the input, apart from the workers' stores, on all cores.

INTO/
    rebuild.json    moment and input of the stores
    partition-0/ …  stores, like those of a worker
"""

import multiprocessing
import os
import queue
import shutil
import tempfile
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import Queue
from pathlib import Path

import orjson

from stream.config import Settings
from stream.core.rebuild import RebuildPlan, plan_rebuild
from stream.dictionary import load_index
from stream.errors import Fatal, Misconfigured, Refused, StreamError
from stream.kafka import topics as kafka_topics
from stream.kafka.clients import Admin, reader_options
from stream.kafka.offsets import offset_ranges, partitions_of
from stream.kafka.topics import Topics
from stream.store.identity import StoreIdentity
from stream.tools.audit.dead_letters import DeadLetterIndex
from stream.tools.kafka.backwards import Ranges, decided_ranges
from stream.tools.kafka.topic_reader import read_topic
from stream.tools.rebuild.count_topic import CountedTotals, read_counted
from stream.tools.rebuild.moment import Moment, target_offsets
from stream.tools.rebuild.partition import Job, Rebuilt, rebuild_partition
from stream.worker.startup import retry_while_unreachable

REPORT = "rebuild.json"
PROGRESS_S = 0.2
TRANSACTION_S_MAX = 15.0  # after its timeout, for the broker to abort the transaction of a killed worker
OnProgress = Callable[[int, int], None]
"""Takes the number of input offsets read so far, and the number to read."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a rebuild reads, determined before it starts.

    Attributes:
        plans: plans by input partition.
        counted: totals of the count topic, by partition.
        dead_letters: ranges of the dead-letter topic to read, by its partition.
        notes: sentences about uncertainties of the result.
    """

    plans: Mapping[int, RebuildPlan]
    counted: Mapping[int, CountedTotals]
    dead_letters: Ranges
    notes: Sequence[str]

    @property
    def offsets(self) -> int:
        """Number of input offsets to read."""
        return sum(plan.offsets for plan in self.plans.values())


class Rebuilding:
    """Rebuilds the totals of all partitions as of a moment."""

    def __init__(self, settings: Settings, admin: Admin, moment: Moment) -> None:
        """Raises Refused if the broker is unavailable, and Fatal if a topic is missing."""
        self._settings, self._admin = settings, admin
        check = partial(kafka_topics.check, admin, settings)
        self._topics: Topics = retry_while_unreachable(settings, check)
        self._moment = moment
        self._digest = load_index(settings.dictionary).digest

    def sources(self) -> Sources:
        """Return what will be read.

        Raises:
            Refused: the logs lack required records, or the totals were counted with another dictionary.
        """
        settings, admin = self._settings, self._admin
        inputs = retry_while_unreachable(settings, lambda: partitions_of(admin, settings.input_topic))
        ranges = retry_while_unreachable(settings, lambda: offset_ranges(admin, settings.input_topic, inputs))
        counted = read_counted(settings, kept=lambda p: p in ranges and ranges[p][0] > 0)
        targets = retry_while_unreachable(settings, lambda: target_offsets(settings, admin, self._moment))
        plans, notes = {}, []
        for partition, target in targets.items():
            first, totals = ranges[partition][0], counted.get(partition, CountedTotals())
            plan = plan_rebuild(first, target, totals.counted_to)
            if plan is None:
                raise Refused(
                    f"{settings.input_topic}, partition {partition}: retention deleted the input before "
                    f"offset {first}, and the totals before {target} cannot be computed without it",
                    f"choose a moment from offset {first} on",
                )
            if plan.from_totals:
                self._check_digest(partition, totals)
                notes.append(
                    f"partition {partition}: the input starts at offset {first}; the rebuild starts from the "
                    f"totals of {settings.count_topic}, which cover the input before {totals.counted_to}"
                )
            plans[partition] = plan
        dead_letters = self._dead_letter_ranges()
        if any(first for first, _ in dead_letters.values()):
            notes.append(
                f"retention deleted records of {settings.dead_letter_topic}: input that was rejected for its "
                "result size or exhausted retries is counted if its dead letter was deleted"
            )
        return Sources(plans, counted, dead_letters, notes)

    def _dead_letter_ranges(self) -> Ranges:
        """Return the ranges of the dead-letter topic to read: everything that is decided.

        Raises:
            Refused: a transaction stays open.
        """
        topic = self._topics.dead_letter
        wait_s = self._settings.transaction_timeout_ms / 1000 + TRANSACTION_S_MAX
        partitions = range(topic.partitions)
        return retry_while_unreachable(
            self._settings, lambda: decided_ranges(self._admin, topic.name, partitions, wait_s)
        )

    def run(self, sources: Sources, into: Path, processes: int, on_progress: OnProgress) -> list[Rebuilt]:
        """Write the stores into a new or empty folder.

        Raises:
            Misconfigured: the folder is not empty, or cannot be written.
            Refused, Fatal: a partition could not be rebuilt; the folder is removed.
        """
        _make_folder(into)
        try:
            jobs = self._jobs(sources, into)
            rebuilt = _run_all(jobs, processes, on_progress)
            (into / REPORT).write_bytes(self._report(sources))
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise
        return rebuilt

    def _jobs(self, sources: Sources, into: Path) -> list[Job]:
        settings, topics = self._settings, self._topics
        identity = StoreIdentity(topics.cluster_id, topics.input.id, topics.count.id, self._digest)
        with (
            tempfile.TemporaryDirectory(prefix="anagram-stream-rebuild-") as folder,
            DeadLetterIndex(Path(folder), settings.input_topic, settings.group_id) as index,
        ):
            ranges = sources.dead_letters
            ends = {partition: end for partition, (_, end) in ranges.items()}
            index.add(read_topic(reader_options(settings), self._admin, topics.dead_letter.name, ends=ends))
            is_whole = not any(first for first, _ in ranges.values())
            return [
                Job(
                    settings,
                    partition,
                    plan,
                    sources.counted[partition].totals if plan.from_totals else {},
                    sources.counted[partition].counted_to if is_whole else None,
                    array("q", (each.input_offset for each in index.take(partition))),
                    [each for each in index.skipped if each.partition == partition],
                    into / f"partition-{partition}",
                    identity,
                )
                for partition, plan in sources.plans.items()
            ]

    def _check_digest(self, partition: int, totals: CountedTotals) -> None:
        if totals.digest != self._digest:
            raise Refused(
                f"the totals of partition {partition} were counted with another dictionary (digest "
                f"{totals.digest}, not {self._digest}), and part of the input was deleted",
                "set STREAM_DICTIONARY to the dictionary that the workers use",
            )

    def _report(self, sources: Sources) -> bytes:
        fields = {
            "at": self._moment.text,
            "group": self._settings.group_id,
            "input": self._settings.input_topic,
            "dictionary": self._digest,
            "offsets": {str(p): plan.target for p, plan in sources.plans.items()},
            "notes": list(sources.notes),
        }
        return orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _make_folder(into: Path) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
        is_empty = next(into.iterdir(), None) is None
    except OSError as error:
        raise Misconfigured(f"{into} cannot be written: {error.strerror}", "choose a new folder") from error
    if not is_empty:
        raise Misconfigured(f"the folder {into} is not empty", "choose a new folder")


def _run_all(jobs: Sequence[Job], processes: int, on_progress: OnProgress) -> list[Rebuilt]:
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of the Kafka clients
    progress: Queue[tuple[int, int]] = context.Queue()
    total = sum(job.plan.offsets for job in jobs)
    done: dict[int, int] = {}
    rebuilt = list[Rebuilt]()
    with ProcessPoolExecutor(min(processes, len(jobs)), context, _initialize, (progress,)) as executor:
        running: set[Future[Rebuilt | _Failure]] = {executor.submit(_run, job) for job in jobs}
        try:
            while running:
                ended, running = wait(running, PROGRESS_S, FIRST_COMPLETED)
                rebuilt += [_checked(future.result()) for future in ended]
                _drain(progress, done)
                on_progress(min(total, sum(done.values())), total)
        except BrokenProcessPool as error:
            raise Fatal(
                "a process of the rebuild was killed, perhaps for lack of memory; use fewer with --processes"
            ) from error
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return sorted(rebuilt, key=lambda each: each.partition)


def _drain(progress: "Queue[tuple[int, int]]", done: dict[int, int]) -> None:
    while True:
        try:
            partition, offsets = progress.get_nowait()
        except queue.Empty:
            return
        done[partition] = offsets


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error of a process: the exception itself cannot be passed between processes."""

    message: str
    hint: str


def _initialize(progress: "Queue[tuple[int, int]]") -> None:
    global _progress  # noqa: PLW0603 - a process of a pool receives a queue only at its start
    _progress = progress
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # a killed parent cannot stop it


_progress: "Queue[tuple[int, int]] | None" = None


def _run(job: Job) -> Rebuilt | _Failure:
    assert _progress is not None
    try:
        return rebuild_partition(job, _progress)
    except StreamError as error:
        return _Failure(str(error), getattr(error, "hint", ""))


def _checked(result: Rebuilt | _Failure) -> Rebuilt:
    if isinstance(result, _Failure):
        raise Refused(result.message, result.hint) if result.hint else Fatal(result.message)
    return result
