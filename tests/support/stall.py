"""Measures how long results stall after a kill -9 of the worker and an immediate restart."""

import threading
import time
from pathlib import Path

from confluent_kafka import Producer
from support.process import WorkerProcess
from support.topics import admin_of, wait_until

from stream.kafka.offsets import offset_ranges


def stall_s(env: dict[str, str], folder: Path, seconds_max: float) -> float:
    """Return the seconds from the kill to the next commit that a read_committed reader can see."""
    topic = env["STREAM_RESULT_TOPIC"]
    admin = admin_of(env)
    partitions = list(range(2))

    def ends(*, stable: bool) -> int:
        return sum(end for _, end in offset_ranges(admin, topic, partitions, stable=stable).values())

    stop = threading.Event()

    producer = Producer({"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"]})

    def feed() -> None:
        while not stop.wait(0.02):
            producer.produce(env["STREAM_INPUT_TOPIC"], "listen to the silent tinsel")
            producer.poll(0)
        producer.flush(10)

    feeder = threading.Thread(target=feed, daemon=True)
    with WorkerProcess(env, folder / "log") as worker:
        worker.wait_for("partition running", times=2)
        feeder.start()
        wait_until(lambda: ends(stable=True) > 20, 60, every=0.05)
        worker.kill()
        killed_at = time.monotonic()
        worker.start()
        # The abort of the open transaction also moves the last stable offset, so only records beyond the end
        # of the log and the markers of the abort count.
        end = ends(stable=False) + len(partitions)
        wait_until(lambda: ends(stable=True) > end, seconds_max, every=0.02)
        stalled = time.monotonic() - killed_at
        stop.set()
        feeder.join()
    return stalled
