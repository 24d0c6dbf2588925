"""The workers of a campaign: real processes that are started again when they exit.

A worker with several processes has a supervisor, which is their parent.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from time import monotonic
from typing import Self
from urllib.request import urlopen

import psutil

from stream.config import Settings
from stream.tools.chaos.accident import Refusal, names_fix
from stream.tools.chaos.worker_log import FleetHistory, WorkerLog
from stream.tools.child_environment import environment_without_settings
from stream.tools.worker_process import WorkerProcess

BACKOFF_S_MAX = 2.0
QUICK_S = 5.0  # a worker that exits sooner after its start waits longer before each next start
ORPHANS_S_MAX = 12.0  # until the processes of a killed supervisor have exited too
NO_SPACE_BYTES = 1  # no file can grow beyond this size


class FleetWorker(WorkerProcess):
    """A worker with an instance id, a state folder, and the faults that happen to it.

    Attributes:
        instance: instance id and client id; several processes append their numbers to it.
        output: what the worker logged.
        started: time of the last start, on the monotonic clock.
    """

    def __init__(
        self, instance: str, folder: Path, env: Mapping[str, str], processes: int, history: FleetHistory
    ) -> None:
        folder.mkdir(parents=True)
        self.instance = instance
        self.state_dir = folder / "state"
        self.output = WorkerLog(instance, folder, history)
        self.started = 0.0
        self._processes = processes
        env = {**env, "STREAM_INSTANCE_ID": instance, "STREAM_STATE_DIR": str(self.state_dir)}
        super().__init__(env, self.output.file, folder=folder, console=self.output.pipe)

    def start(self) -> Self:
        with self.output.reading():
            self.started = monotonic()
            super().start()
        return self

    def kill_process(self, number: int) -> bool:
        """Kill -9 one process of the worker, chosen modulo their number; a supervisor survives.

        Return whether there was a process to kill.
        """
        if self._processes == 1:
            self.kill()
            return True
        pid = self.output.pids.get(number % self._processes)
        try:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return pid is not None

    def client(self, number: int) -> str:
        """Return the client id of one process, chosen modulo their number."""
        return self.instance if self._processes == 1 else f"{self.instance}-{number % self._processes}"

    def pause(self) -> None:
        """Send SIGSTOP to all processes."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT to all processes."""
        self._signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """Prevent all files of the processes from growing, as a full disk does."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (NO_SPACE_BYTES, hard))

    def kill_and_wipe(self) -> None:
        """Kill -9, wait until all processes have exited, and delete the state folder."""
        killed = self.processes()
        self.kill()
        psutil.wait_procs(killed, timeout=ORPHANS_S_MAX)
        shutil.rmtree(self.state_dir, ignore_errors=True)
        self.output.stores_deleted(self._processes)

    def refusal(self) -> Refusal | None:
        """Return the refusal that the worker logged if it exited because offsets, topics or logs changed."""
        if self.status != 1:
            return None
        self.output.finish()
        failure = self.output.failure
        if failure is None or not names_fix(failure):
            return None
        return Refusal(self.instance, failure["error"], failure["fix"])

    def commits(self) -> int | None:
        """Read the number of committed transactions from the metrics; None if the worker does not respond."""
        with contextlib.suppress(OSError), urlopen(f"{self.output.address}/metrics", timeout=0.3) as response:  # noqa: S310
            lines = response.read().decode().splitlines()
            counters = [line for line in lines if line.startswith("stream_transactions_total{")]
            committed = [float(line.split()[-1]) for line in counters if 'outcome="committed"' in line]
            return int(sum(committed)) if committed else None
        return None

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)


class Restart(Enum):
    """Which exited workers are started again."""

    ALL = auto()
    UNLESS_REFUSED = auto()
    NONE = auto()


class Fleet:
    """All workers of a campaign; a worker that exits by itself is started again, as by an operator.

    Attributes:
        restart: which exited workers are started again.
        refusals: refusals of workers that were not started again, by instance id.
        refused: refusals of all workers, including those that were started again, by instance id.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], workers: int) -> None:
        self.history = FleetHistory()
        self.restart = Restart.ALL
        self.refusals: dict[str, Refusal] = {}
        self.refused: dict[str, Refusal] = {}
        self._folder = folder
        self._env = {**environment_without_settings(), **env}
        self._created = 0
        self._quick_ends = 0
        self._next_start_at = 0.0
        self.workers = [self.create(f"worker-{number}") for number in range(workers)]

    def create(self, instance: str) -> FleetWorker:
        """Return a worker that is not started yet, with its own empty state folder."""
        self._created += 1
        folder = self._folder / f"{instance}.{self._created}"
        processes = int(self._env["STREAM_PROCESSES"])
        return FleetWorker(instance, folder, self._env, processes, self.history)

    def start(self) -> None:
        for worker in self.workers:
            worker.start()

    def supervise(self) -> None:
        """Start exited workers again."""
        for worker in self.workers:
            if worker.is_running or monotonic() < self._next_start_at or self._is_held(worker):
                continue
            self._close(worker)
            self._quick_ends = self._quick_ends + 1 if monotonic() - worker.started < QUICK_S else 0
            self._next_start_at = monotonic() + min(BACKOFF_S_MAX, 0.1 * self._quick_ends)
            worker.start()

    @property
    def all_refused(self) -> bool:
        return len(self.refusals) == len(self.workers)

    def start_again(self, *, wipe: bool = False) -> None:
        """Start all exited workers, including those that refused; `wipe` deletes their state folders."""
        self.refusals.clear()
        for worker in self.workers:
            if not worker.is_running:
                self._close(worker)
                if wipe:
                    worker.kill_and_wipe()
                worker.start()

    def _is_held(self, worker: FleetWorker) -> bool:
        """Whether an exited worker must not be started again."""
        if self.restart is Restart.UNLESS_REFUSED and worker.instance not in self.refusals:
            refusal = worker.refusal()
            if refusal is not None:
                self.refusals[worker.instance] = refusal
        return self.restart is Restart.NONE or worker.instance in self.refusals

    def record_exit(self, worker: FleetWorker) -> None:
        """Record the exit of a worker, if it exited by itself."""
        if worker.status is not None:
            worker.output.finish()
            self.history.add_exit(worker.instance, worker.status, worker.output.lines)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Do not start exited workers inside the `with` block."""
        before, self.restart = self.restart, Restart.NONE
        try:
            yield
        finally:
            self.restart = before

    def _close(self, worker: FleetWorker) -> None:
        self.record_exit(worker)
        if (refusal := worker.refusal()) is not None:
            self.refused[worker.instance] = refusal
        worker.close()

    def state_dirs(self) -> list[Path]:
        return [worker.state_dir for worker in self.workers]

    def stop(self) -> None:
        for worker in self.workers:
            worker.resume()
            worker.stop()


def worker_environment(settings: Settings, bootstrap_servers: str, processes: int) -> dict[str, str]:
    """Return the environment of the workers; settings of the user do not apply."""
    env = {
        "STREAM_BOOTSTRAP_SERVERS": bootstrap_servers,
        "STREAM_GROUP_PROTOCOL": settings.group_protocol,
        "STREAM_STATIC_MEMBERSHIP": str(settings.static_membership).lower(),
        "STREAM_TRANSACTION_TIMEOUT_MS": str(settings.transaction_timeout_ms),
        "STREAM_BATCH_RECORDS_MAX": str(settings.batch_records_max),
        "STREAM_PROCESSES": str(processes),
    }
    if settings.kafka_config is not None:
        env["STREAM_KAFKA_CONFIG"] = str(settings.kafka_config)
    return env
