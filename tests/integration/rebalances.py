"""Prints what rebalances cost on a broker with Kafka's default group settings: `hatch run rebalances`.

For each case: how long a partition had no result (longest and median), and how long the whole group had
none. The input is a steady 50 blobs/s for each of 8 partitions. A start lasts from the command until no
partition moves any more.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from support.arrivals import Arrivals
from support.environment import own_env
from support.process import WorkerProcess
from support.topics import make_topics

from stream.broker.embedded import EmbeddedBroker

PARTITIONS = 8
QUIET_S = (
    12.0  # over two heartbeats of the consumer protocol; a rebalance has ended if nothing moves for this time
)
SETTLE_S_MAX = 120.0
MODES = {
    "consumer": {"STREAM_GROUP_PROTOCOL": "consumer"},
    "classic": {"STREAM_GROUP_PROTOCOL": "classic"},
    "classic, static": {"STREAM_GROUP_PROTOCOL": "classic", "STREAM_STATIC_MEMBERSHIP": "true"},
}
# Kafka's defaults for the settings that the embedded broker changes.
KAFKA_DEFAULTS = {
    "group.consumer.heartbeat.interval.ms": "5000",
    "group.consumer.min.heartbeat.interval.ms": "5000",
    "group.consumer.min.session.timeout.ms": "45000",
    "group.min.session.timeout.ms": "6000",
}


class Group:
    """The named workers of one group; their logs show their partitions."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self.env = env
        self.arrivals: Arrivals
        self._folder = folder
        self.workers: dict[str, WorkerProcess] = {}

    def start(self, name: str, processes: int = 1) -> WorkerProcess:
        env = {**self.env, "STREAM_PROCESSES": str(processes), "STREAM_INSTANCE_ID": name}
        worker = self.workers.setdefault(name, WorkerProcess(env, self._folder / f"{name}.log"))
        worker.start()
        return worker

    def moves(self) -> int:
        """Return how often any worker has started to run a partition."""
        return sum(len(worker.events("partition running")) for worker in self.workers.values())

    def settle(self) -> float:
        """Wait until no partition moves any more; return when the last one moved."""
        moved_at, moves = time.monotonic(), -1
        deadline = moved_at + SETTLE_S_MAX
        while time.monotonic() - moved_at < QUIET_S:
            if (now := self.moves()) != moves or not self.arrivals.flows():
                moved_at, moves = time.monotonic(), now
            assert time.monotonic() < deadline, "partitions keep moving"
            time.sleep(0.1)
        return moved_at


@contextmanager
def group(address: str, settings: dict[str, str]) -> Iterator[Group]:
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        env = make_topics(own_env(address, folder), PARTITIONS)
        created = Group({**env, **settings}, folder)
        created.arrivals = closing.enter_context(Arrivals(env, PARTITIONS))
        try:
            yield created
        finally:
            for worker in created.workers.values():
                worker.stop()


def report(case: str, mode: str, what: str) -> None:
    print(f"{mode:16} {case:34} {what}", flush=True)  # noqa: T201 - the output of this command


def changed(group: Group, mode: str, case: str, change: Callable[[], object]) -> None:
    """Make a change, wait until the group is stable again, and report the stalls."""
    group.settle()
    moves, began = group.moves(), time.monotonic()
    change()
    settled_s = group.settle() - began
    stalls = sorted(group.arrivals.stalls_s(began).values())
    median = stalls[len(stalls) // 2]
    report(
        case,
        mode,
        f"partition {stalls[-1]:5.1f} s (median {median:4.1f}), group {group.arrivals.idle_s(began):5.1f} s, "
        f"{group.moves() - moves} moves, stable after {settled_s:4.1f} s",
    )


def start(address: str, mode: str, settings: dict[str, str], processes: int) -> None:
    with group(address, settings) as started:
        began = time.monotonic()
        started.start("w", processes)
        stable = started.settle()
        stalls = started.arrivals.stalls_s(started.arrivals.first())
        report(
            f"start of {processes} processes",
            mode,
            f"all partitions have results after {started.arrivals.first() - began:4.1f} s, stable after "
            f"{stable - began:4.1f} s, then a partition stalls {max(stalls.values()):4.1f} s",
        )


def members(address: str, mode: str, settings: dict[str, str]) -> None:
    with group(address, settings) as running:
        for name in ("a", "b"):
            running.start(name)
        changed(running, mode, "a third worker joins", lambda: running.start("c"))
        changed(running, mode, "one of three leaves in order", running.workers["c"].stop)
        changed(running, mode, "one of two: kill -9, restarted", lambda: bounce(running.workers["b"]))
        changed(running, mode, "one of two: kill -9 for good", running.workers["b"].kill)


def bounce(worker: WorkerProcess) -> None:
    worker.kill()
    worker.start()


def supervised_kill(address: str, mode: str, settings: dict[str, str]) -> None:
    with group(address, settings) as running:
        worker = running.start("w", processes=2)
        changed(running, mode, "kill -9 of 1 of 2 processes", lambda: worker_process(worker).kill())


def worker_process(worker: WorkerProcess) -> psutil.Process:
    """Return one of the processes of a supervisor."""
    started = {entry["pid"] for entry in worker.events("process started")}
    return next(psutil.Process(pid) for pid in started if psutil.pid_exists(pid))


def rolling(address: str, mode: str, settings: dict[str, str]) -> None:
    with group(address, settings) as running:
        names = ("a", "b", "c", "d")
        for name in names:
            running.start(name)

        def restart_all() -> None:
            for name in names:
                worker = running.workers[name]
                ready = len(worker.events("ready"))
                worker.stop()
                worker.start()
                worker.wait_for("ready", times=ready + 1)

        changed(running, mode, "rolling restart of four", restart_all)


def main() -> None:
    chosen = [mode for mode in sys.argv[1:] if mode in MODES] or list(MODES)
    with EmbeddedBroker(properties=KAFKA_DEFAULTS, heap_mib=768) as broker:
        for mode in chosen:
            address, settings = broker.bootstrap_servers, MODES[mode]
            for processes in (2, 4, 8):
                start(address, mode, settings, processes)
            members(address, mode, settings)
            supervised_kill(address, mode, settings)
            rolling(address, mode, settings)


if __name__ == "__main__":
    main()
