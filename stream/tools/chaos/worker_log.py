"""Reads the logs of the workers of a campaign from pipes, as they are written."""

import os
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

LINES_KEPT, LINES_SHOWN = 40, 5
SIGNAL_STATUS = 128  # plus the number of the signal is the exit status
FINISH_S_MAX = 5.0
_WRAPPERS = ("<lambda>", " _call")


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition that a worker restored after a start.

    Attributes:
        records: number of changelog records that the store did not contain.
        same: whether this store was the partition's last owner.
    """

    worker: str
    partition: int
    records: int
    same: bool


@dataclass(frozen=True, slots=True)
class Hang:
    """A worker that exited because its loop or a call hung, and was started again.

    Attributes:
        what: the loop, or a call of the client library.
        where: the function that its main thread was in.
    """

    worker: str
    what: str
    where: str


@dataclass(slots=True)
class FleetHistory:
    """The content of the logs of all workers.

    Attributes:
        lock: protects the other attributes; each log is read in its own thread.
        restored: restores after a start.
        transactions: transactions that did not commit, by outcome.
        exits: exit status -> how often a worker exited with it by itself.
        crashes: workers killed by a signal that the campaign did not send, each with its last lines.
        hangs: workers that exited because they hung.
        tracebacks: log lines that start a traceback; each is a defect.
        owners: partition -> the store that last ran it.
        runs: partition -> how often it started to run: its offsets and logs were checked.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    restored: list[Restored] = field(default_factory=list)
    transactions: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    hangs: list[Hang] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    owners: dict[int, str] = field(default_factory=dict)
    runs: Counter[int] = field(default_factory=Counter)

    def add_exit(self, instance: str, status: int, lines: Iterable[str]) -> None:
        """Count a worker that exited by itself."""
        with self.lock:
            self.exits[status] += 1
            if status > SIGNAL_STATUS:
                self.crashes.append(
                    "\n  ".join([f"{instance}: exit status {status}", *list(lines)[-LINES_SHOWN:]])
                )


def _where(frames: Sequence[str]) -> str:
    """Return the innermost frame that is not a wrapper, without its folder."""
    named = (frame for frame in reversed(frames) if not frame.endswith(_WRAPPERS))
    return next(named, "").rpartition("/")[2]


class WorkerLog:
    """Reads the output of one worker, over all its starts.

    Attributes:
        pipe: receives the output. It is not a file, because a full disk must not affect the log.
        file: keeps the output.
        address: address of the probes and metrics; empty until the worker logs it.
        lines: the last lines.
        pids: number of a process -> its process id, if a worker has several.
        failure: the line that states why the worker exited; None if there is none since its last start.
    """

    def __init__(self, instance: str, folder: Path, history: FleetHistory) -> None:
        self.pipe = folder / "console"
        self.file = folder / "log"
        self.address = ""
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.pids: dict[int, int] = {}
        self.failure: Mapping[str, Any] | None = None
        self._reader: threading.Thread | None = None
        self._instance = instance
        self._folder = folder
        self._history = history
        self._stores_lost: Counter[int] = Counter()  # number of a process -> how often its stores were lost
        self._run_since_start: set[tuple[int, int]] = set()  # number of a process, and a partition

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read the output of a process that is started inside the `with` block."""
        self.pipe.unlink(missing_ok=True)
        os.mkfifo(self.pipe)
        read_end = os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.address, self._run_since_start, self.pids, self.failure = "", set(), {}, None
        yield
        os.set_blocking(read_end, True)
        self._reader = threading.Thread(target=self._read, args=(read_end,), daemon=True, name=self._instance)
        self._reader.start()

    def finish(self) -> None:
        """Wait for the last line of an exited process."""
        if self._reader is not None:
            self._reader.join(FINISH_S_MAX)

    def stores_deleted(self, processes: int) -> None:
        """Record that the stores of all processes were deleted."""
        self._stores_lost.update(range(processes))

    def _read(self, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as lines, self.file.open("ab") as file:
            for line in lines:
                file.write(line)
                file.flush()
                text = line.decode(errors="replace").rstrip()
                self.lines.append(text)
                with self._history.lock:
                    if line.startswith(b"{"):
                        self._apply(orjson.loads(line))
                    elif text.startswith("Traceback"):
                        self._history.tracebacks.append(f"{self._instance}: {text}")

    def _apply(self, entry: Mapping[str, Any]) -> None:
        process = entry.get("process", 0)
        match entry["event"]:
            case "telemetry listens":
                self.address = entry["address"]
            case "transaction aborted" | "transaction in doubt" as event:
                self._history.transactions[event.removeprefix("transaction ")] += 1
            case "process started":
                self.pids[process] = entry["pid"]
                self._run_since_start = {run for run in self._run_since_start if run[0] != process}
            case "loop hangs":
                frames = entry.get("stacks", {}).get("MainThread", [])
                self._history.hangs.append(Hang(self._instance, str(entry.get("what", "")), _where(frames)))
            case "worker failed":
                self.failure = entry
            case "store set aside":
                self._stores_lost[process] += 1
            case "partition running":
                self._partition_runs(process, entry["partition"], entry["restored_records"])

    def _partition_runs(self, process: int, partition: int, records: int) -> None:
        history, store = self._history, f"{self._folder.name}, {process}.{self._stores_lost[process]}"
        if (process, partition) not in self._run_since_start:
            self._run_since_start.add((process, partition))
            same = history.owners.get(partition) == store
            history.restored.append(Restored(self._instance, partition, records, same))
        history.owners[partition] = store
        history.runs[partition] += 1
