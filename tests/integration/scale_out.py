"""Throughput of 1, 2, 4 and 8 workers, each with a fixed part of a core: hatch run scale-out [CORES …]

Each worker is a process of its own in a cgroup with a quota (Linux, root), as a container with a limit is, so
that more workers get more processor also where there are few cores. 16 partitions with a backlog of blobs of
100 words, an embedded broker on the same cores.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from confluent_kafka import Producer
from support.environment import own_env
from support.process import WorkerProcess
from support.topics import make_topics, settings_of, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.dictionary import load_index
from stream.kafka.clients import producer_options
from stream.tools.kafka.group_reader import GroupReader

PARTITIONS, WORDS_PER_BLOB, BLOBS = 16, 100, 900_000
WORKERS = (1, 2, 4, 8)
SHARES = (0.5, 0.15)
MEASURED_S, ROUNDS = 8.0, 3
CPU = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 100_000


@contextmanager
def quota(name: str, cores: float) -> Iterator[Path]:
    """Make a cgroup with a quota of processor time; return the file that takes process ids."""
    is_v1 = CPU.is_dir()
    folder = (CPU if is_v1 else Path("/sys/fs/cgroup")) / f"scale-out-{os.getpid()}-{name}"
    folder.mkdir()
    limit = int(cores * PERIOD_US)
    if is_v1:
        (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (folder / "cpu.cfs_quota_us").write_text(str(limit))
    else:
        (folder / "cpu.max").write_text(f"{limit} {PERIOD_US}")
    try:
        yield folder / "cgroup.procs"
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text(), 10)
        folder.rmdir()


def fill(env: dict[str, str], words: list[str]) -> None:
    producer = Producer({**producer_options(settings_of(env)), "linger.ms": 50})
    pool = [" ".join(words[start : start + WORDS_PER_BLOB]).encode() for start in range(0, 90_000, 37)]
    for number in range(BLOBS):
        while len(producer) > 50_000:
            producer.poll(0.05)
        value = pool[number % len(pool)]
        producer.produce(env["STREAM_INPUT_TOPIC"], value, partition=number % PARTITIONS)
        producer.poll(0)
    producer.flush(60)


def committed(reader: GroupReader) -> int:
    return sum(lag.committed or 0 for lag in reader.read()[1])


def cpu_s(pid: int | None) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def measure(bootstrap: str, workers: int, cores: float, words: list[str], broker_pid: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        env = make_topics(own_env(bootstrap, Path(folder)), PARTITIONS)
        fill(env, words)
        reader = GroupReader(settings_of(env))
        running = []
        for number in range(workers):
            own = env | {"STREAM_STATE_DIR": f"{folder}/state-{number}"}
            procs = stack.enter_context(quota(str(number), cores))
            worker = stack.enter_context(WorkerProcess(own, Path(folder) / f"log-{number}"))
            running.append((worker, procs))

        def owned() -> bool:
            lags = reader.read()[1]
            return all(lag.member and lag.committed for lag in lags) and (
                len({lag.member.id for lag in lags if lag.member}) == workers
            )

        wait_until(owned, 60, every=0.2)
        for worker, procs in running:
            procs.write_text(str(worker.process.pid))
        time.sleep(2)
        figures: list[float] = []
        busy = {worker.process.pid: cpu_s(worker.process.pid) for worker, _ in running}
        broker_before, began = cpu_s(broker_pid), time.monotonic()
        for _ in range(ROUNDS):
            first, since = committed(reader), time.monotonic()
            time.sleep(MEASURED_S / ROUNDS)
            figures.append((committed(reader) - first) * WORDS_PER_BLOB / (time.monotonic() - since))
        elapsed = time.monotonic() - began
        lags = reader.read()[1]
        assert sum(lag.lag for lag in lags) > BLOBS // 20, "the backlog was used up: nothing was measured"
        return {
            "workers": workers,
            "cores_each": cores,
            "words_per_s": round(median(figures)),
            "cores_of_workers": round(sum(cpu_s(pid) - b for pid, b in busy.items()) / elapsed, 2),
            "cores_of_broker": round((cpu_s(broker_pid) - broker_before) / elapsed, 2),
        }


def main() -> None:
    shares = [float(each) for each in sys.argv[1:]] or list(SHARES)
    words = sorted(word for group in load_index(None).anagrams.values() for word in group)
    words = [words[number * 7919 % len(words)] for number in range(len(words))]
    for cores in shares:
        for workers in WORKERS:
            with EmbeddedBroker(heap_mib=1024) as broker:
                assert broker.pid is not None
                report = measure(broker.bootstrap_servers, workers, cores, words, broker.pid)
            print(json.dumps(report), flush=True)  # noqa: T201 - its output


if __name__ == "__main__":
    main()
