"""The workers of a campaign: real processes, supervised, their log lines read as they come.

A worker of several processes has a supervisor of its own, whose children they are.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.request import urlopen

import orjson
import psutil

from stream.broker.process import GuardedProcess
from stream.config import PREFIX

LINES_KEPT = 40
BACKOFF_S_MAX = 2.0
QUICK_S = 5.0  # a worker that ended sooner is started later each time
ORPHANS_S_MAX = 12.0  # until processes whose supervisor was killed have ended too
NO_SPACE_BYTES = 1  # beyond it a file of the state folder cannot grow


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition began to run after its worker was started.

    Attributes:
        records: of the changelog that its store did not cover.
        same: the store had it before, and nobody in between.
    """

    worker: str
    partition: int
    records: int
    same: bool


@dataclass(slots=True)
class Notes:
    """What the workers told.

    Attributes:
        transactions: by outcome, as their metrics and log lines said.
        exits: how often a worker ended with a status by itself.
        tracebacks: log lines that begin one: never right.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    restored: list[Restored] = field(default_factory=list)
    transactions: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    tracebacks: list[str] = field(default_factory=list)
    owner: dict[int, str] = field(default_factory=dict)  # partition -> the store that had it last


class WorkerProcess:
    """One worker's place: an instance id, a state folder, and the process that holds it now.

    Attributes:
        instance: its id, and the client id of its connections; those of several processes have a number more.
        address: of its probes and metrics, once it has said so.
        lines: the last of its log.
    """

    def __init__(self, instance: str, folder: Path, env: Mapping[str, str], notes: Notes) -> None:
        self.instance = instance
        self.state_dir = folder / "state"
        self.address = ""
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._folder = folder
        self._notes = notes
        self._env = {**env, "STREAM_INSTANCE_ID": instance, "STREAM_STATE_DIR": str(self.state_dir)}
        self._processes = int(env["STREAM_PROCESSES"])
        self._pids: dict[int, int] = {}  # of its processes, where they are several
        self._process: GuardedProcess | None = None
        self._stores_lost: Counter[int] = Counter()  # process -> how often its stores were lost
        self._unrun: set[tuple[int, int]] = set()  # process, and a partition that has run since its start
        self.started = 0.0

    def start(self) -> None:
        """Start it; what it prints is read on the way."""
        self._folder.mkdir(parents=True, exist_ok=True)
        pipe = self._folder / "console"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)  # not a file: a full disk must not reach the log
        read_end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.address, self._unrun, self._pids = "", set(), {}
        self.started = monotonic()
        self._process = GuardedProcess(
            [sys.executable, "-m", "stream", "worker"], folder=self._folder, console=pipe, env=self._env
        )
        os.set_blocking(read_end, True)
        threading.Thread(target=self._read, args=(read_end,), daemon=True, name=self.instance).start()

    @property
    def is_running(self) -> bool:
        """Whether its process lives; one that is stopped does."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status of a process that ended by itself."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """Kill -9, and wait."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def kill_process(self, number: int) -> bool:
        """Kill -9 one of its processes, by a number modulo how many there are; its supervisor goes on.

        Return whether there was one.
        """
        if self._processes == 1:
            self.kill()
            return True
        pid = self._pids.get(number % self._processes)
        try:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return pid is not None

    def client(self, number: int) -> str:
        """Return the client id of one of its processes."""
        return self.instance if self._processes == 1 else f"{self.instance}-{number % self._processes}"

    def stop(self) -> None:
        """SIGTERM, and wait until it has drained."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def forget(self) -> None:
        """Let go of a process that ended by itself."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """Let no file of the process grow any more, as a full disk does."""
        for process in self._every():
            with contextlib.suppress(psutil.Error):
                _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (NO_SPACE_BYTES, hard))

    def kill_and_wipe(self) -> None:
        """Kill -9, and delete its state folder when all its processes are gone."""
        killed = self._every()
        self.kill()
        psutil.wait_procs(killed, timeout=ORPHANS_S_MAX)
        shutil.rmtree(self.state_dir, ignore_errors=True)
        self._stores_lost.update(range(self._processes))

    def commits(self) -> int | None:
        """Ask how many transactions the process has committed; None while it does not answer."""
        with contextlib.suppress(OSError), urlopen(f"{self.address}/metrics", timeout=0.3) as answer:  # noqa: S310
            lines = answer.read().decode().splitlines()
            counters = [line for line in lines if line.startswith("stream_transactions_total{")]
            committed = [float(line.split()[-1]) for line in counters if 'outcome="committed"' in line]
            return int(sum(committed)) if committed else None
        return None

    def _signal(self, number: signal.Signals) -> None:
        for process in self._every():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def _every(self) -> list[psutil.Process]:
        """Return the process, and those below it."""
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                first = psutil.Process(self._process.pid)
                return [first, *first.children(recursive=True)]
        return []

    def _read(self, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as lines, (self._folder / "log").open("ab") as log:
            for line in lines:
                log.write(line)
                log.flush()
                text = line.decode(errors="replace").rstrip()
                self.lines.append(text)
                if line.startswith(b"{"):
                    self._note(orjson.loads(line))
                elif text.startswith("Traceback"):
                    with self._notes.lock:
                        self._notes.tracebacks.append(f"{self.instance}: {text}")

    def _note(self, entry: Mapping[str, Any]) -> None:
        notes = self._notes
        with notes.lock:
            if entry["event"] == "telemetry listens":
                self.address = entry["address"]
            elif entry["event"] in {"transaction aborted", "transaction in doubt"}:
                notes.transactions[entry["event"].removeprefix("transaction ")] += 1
            elif entry["event"] == "process started":
                self._pids[entry["process"]] = entry["pid"]
                self._unrun = {ran for ran in self._unrun if ran[0] != entry["process"]}
            elif entry["event"] == "store set aside":
                self._stores_lost[entry.get("process", 0)] += 1
            elif entry["event"] == "partition running":
                process = entry.get("process", 0)
                self._note_running(process, entry["partition"], entry["restored_records"])

    def _note_running(self, process: int, partition: int, records: int) -> None:
        notes, store = self._notes, f"{self._folder.name}, {process}.{self._stores_lost[process]}"
        if (process, partition) not in self._unrun:
            self._unrun.add((process, partition))
            same = notes.owner.get(partition) == store
            notes.restored.append(Restored(self.instance, partition, records, same))
        notes.owner[partition] = store


class Fleet:
    """The workers; whoever ends by itself is started again, as a supervisor does."""

    def __init__(self, folder: Path, env: Mapping[str, str], workers: int) -> None:
        base = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
        self.notes = Notes()
        self._folder = folder
        self._env = {**base, **env}
        self._made = 0
        self._quick = 0
        self._due = 0.0
        self.workers = [self.make(f"worker-{number}") for number in range(workers)]

    def make(self, instance: str) -> WorkerProcess:
        """Return a worker that is not started, with an empty state folder of its own."""
        self._made += 1
        folder = self._folder / f"{instance}.{self._made}"
        return WorkerProcess(instance, folder, self._env, self.notes)

    def start(self) -> None:
        """Start all."""
        for worker in self.workers:
            worker.start()

    def supervise(self) -> None:
        """Start those again that ended."""
        for worker in self.workers:
            if worker.is_running or monotonic() < self._due:
                continue
            if worker.status is not None:
                self.notes.exits[worker.status] += 1
            worker.forget()
            self._quick = self._quick + 1 if monotonic() - worker.started < QUICK_S else 0
            self._due = monotonic() + min(BACKOFF_S_MAX, 0.1 * self._quick)
            worker.start()

    def state_dirs(self) -> list[Path]:
        """Return the state folders of the workers."""
        return [worker.state_dir for worker in self.workers]

    def stop(self, each: Callable[[WorkerProcess], None] = WorkerProcess.stop) -> None:
        """Stop all, or kill them."""
        for worker in self.workers:
            worker.resume()
            each(worker)
