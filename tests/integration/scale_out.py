"""Throughput of 1, 2, 4 and 8 workers, each with a fixed share of a core: hatch run scale-out [CORES …]

Each worker runs in its own cgroup with a quota (Linux, root), like a container with a CPU limit, so that more
workers get more processor time even on few cores. There are 16 partitions with a backlog of blobs of 100
words, and an embedded broker on the same cores.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
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

PARTITIONS, WORDS_PER_BLOB, BLOBS = 16, 100, 1_200_000
WORKERS = (1, 2, 4, 8)
SHARES = (0.5, 0.15)
SETTLING_S, MEASURED_S = 3.0, 12.0
CPU = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 100_000


@contextmanager
def quota(name: str, cores: float) -> Iterator[Path]:
    """Create a cgroup with a quota of processor time; yield the file that takes process ids."""
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


def texts() -> list[bytes]:
    """Return blobs with the word frequencies of a natural language."""
    rng = random.Random(1)
    words = sorted(word for group in load_index(None).anagrams.values() for word in group)
    rng.shuffle(words)
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    return [
        " ".join(rng.choices(words, cum_weights=weights, k=WORDS_PER_BLOB)).encode() for _ in range(5_000)
    ]


def fill(env: dict[str, str], blobs: list[bytes]) -> None:
    producer = Producer({**producer_options(settings_of(env)), "linger.ms": 50})
    for number in range(BLOBS):
        while len(producer) > 50_000:
            producer.poll(0.05)
        value = blobs[number % len(blobs)]
        producer.produce(env["STREAM_INPUT_TOPIC"], value, partition=number % PARTITIONS)
        producer.poll(0)
    producer.flush(60)


def committed(reader: GroupReader) -> int:
    return sum(lag.committed or 0 for lag in reader.read()[1])


def cpu_s(pid: int | None) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def measure(broker: EmbeddedBroker, workers: int, cores: float, blobs: list[bytes]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        env = make_topics(own_env(broker.bootstrap_servers, Path(folder)), PARTITIONS)
        reader = GroupReader(settings_of(env))
        running = []
        for number in range(workers):
            own = env | {"STREAM_STATE_DIR": f"{folder}/state-{number}"}
            procs = stack.enter_context(quota(str(number), cores))
            worker = stack.enter_context(WorkerProcess(own, Path(folder) / f"log-{number}"))
            running.append((worker, procs))

        def owned() -> bool:
            return len({lag.member.id for lag in reader.read()[1] if lag.member}) == workers

        wait_until(owned, 60, every=0.2)
        time.sleep(2)  # until the last partitions are restored
        for worker, procs in running:
            procs.write_text(str(worker.process.pid))
            worker.signal(signal.SIGSTOP)  # for less than the session timeout: none reads the backlog yet
        fill(env, blobs)
        for worker, _ in running:
            worker.signal(signal.SIGCONT)
        time.sleep(SETTLING_S)
        busy = {worker.process.pid: cpu_s(worker.process.pid) for worker, _ in running}
        broker_before, first, began = cpu_s(broker.pid), committed(reader), time.monotonic()
        time.sleep(MEASURED_S)
        counted, elapsed = committed(reader) - first, time.monotonic() - began
        lags = reader.read()[1]
        assert sum(lag.lag for lag in lags) > BLOBS // 20, "the backlog was used up: nothing was measured"
        return {
            "workers": workers,
            "cores_each": cores,
            "words_per_s": round(counted * WORDS_PER_BLOB / elapsed),
            "cores_of_workers": round(sum(cpu_s(pid) - b for pid, b in busy.items()) / elapsed, 2),
            "cores_of_broker": round((cpu_s(broker.pid) - broker_before) / elapsed, 2),
        }


def main() -> None:
    shares = [float(each) for each in sys.argv[1:]] or list(SHARES)
    blobs = texts()
    for cores in shares:
        for workers in WORKERS:
            with EmbeddedBroker(heap_mib=1024) as broker:
                report = measure(broker, workers, cores, blobs)
            print(json.dumps(report), flush=True)  # noqa: T201 - its output


if __name__ == "__main__":
    main()
