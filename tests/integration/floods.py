"""Floods of faulty input, each on its own topics: `hatch run floods`.

Prints records/s and MiB/s of the worker for each flood, and its peak memory, which must stay below a limit.
"""

import random
import string
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from support.environment import own_env
from support.process import WorkerProcess
from support.topics import admin_of, make_topics, produce, settings_of, totals
from support.usage import peak_mib

from stream.broker.embedded import EmbeddedBroker
from stream.kafka import clients, offsets

MIB = 1024 * 1024
SEED = 4
PEAK_MIB_MAX = 1024
WORDS = ["listen", "silent", "cat", "dog", "tea", "eat", "stop", "pots", "a", "of", "the"]


def ordinary() -> Iterator[bytes]:
    rng = random.Random(SEED)
    for _ in range(50_000):
        yield " ".join(rng.choices(WORDS, k=20)).encode()


def poison() -> Iterator[bytes]:
    for n in range(200_000):
        yield b"\xff\xfe%d" % n


def tombstones() -> Iterator[None]:
    for _ in range(200_000):
        yield None


def large_blobs() -> Iterator[bytes]:
    text = (" ".join(WORDS) + " ").encode()
    for _ in range(40):
        yield (text * (10 * MIB // len(text)))[: 10 * MIB - 1]


def too_large_results() -> Iterator[bytes]:
    """Yield blobs of 10 MiB of distinct words, so that no memo helps."""
    rng = random.Random(SEED)
    for _ in range(10):
        yield b" ".join("".join(rng.choices(string.ascii_lowercase, k=9)).encode() for _ in range(MIB))[
            : 10 * MIB - 1
        ]


def giant_words() -> Iterator[bytes]:
    for n in range(40):
        yield bytes([97 + n % 26]) * (10 * MIB - 1)


def distinct_words() -> Iterator[bytes]:
    """Yield two million words that are not in the dictionary, twice the capacity of a memo."""
    for n in range(20_000):
        yield " ".join(f"{n * 100 + k}x" for k in range(100)).encode()


FLOODS = (ordinary, poison, tombstones, large_blobs, too_large_results, giant_words, distinct_words)


def lag(env: dict[str, str]) -> int:
    """Return the number of records that the group has not committed."""
    settings = settings_of(env)
    _, end = offsets.offset_ranges(admin_of(env), settings.input_topic, [0])[0]
    committed = offsets.committed_offsets(clients.reader_options(settings), settings.input_topic, [0], 10)[0]
    return end - (committed or 0)


def flood(name: str, env: dict[str, str], folder: Path, records: Iterator[bytes | None]) -> str:
    count = size = 0

    def counted() -> Iterator[tuple[None, bytes | None]]:
        nonlocal count, size
        for value in records:
            count, size = count + 1, size + len(value or b"")
            yield None, value

    produce(env, counted(), partition=0)
    with WorkerProcess(env, folder / "log") as worker:
        worker.wait_for("partition running", times=1)
        began = time.monotonic()
        while lag(env) > 0:
            assert worker.process.poll() is None, worker.log.read_text()[-2000:]
            time.sleep(0.1)
        seconds = time.monotonic() - began
        peak = peak_mib(worker.process.pid)
        assert worker.stop() == 0
    assert peak < PEAK_MIB_MAX, f"{name}: {peak:.0f} MiB"
    speed = f"{count / seconds:10,.0f} records/s {size / MIB / seconds:6.1f} MiB/s"
    counted_words = sum(totals(env).values())
    return (
        f"{name:18} {count:8,} records {size / MIB:7.1f} MiB {seconds:6.1f} s {speed} "
        f" peak {peak:5.0f} MiB  {counted_words:,} counted"
    )


def main() -> None:
    with EmbeddedBroker(heap_mib=1024) as broker:
        for records in FLOODS:
            with tempfile.TemporaryDirectory() as folder:
                env = own_env(broker.bootstrap_servers, Path(folder)) | {"STREAM_REJECTED_IN_A_ROW_MAX": "0"}
                make_topics(env, partitions=1)
                print(flood(records.__name__, env, Path(folder), records()), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
