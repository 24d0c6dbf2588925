"""Sends steady input to every partition, and measures how long its results stall."""

import threading
import time
from collections.abc import Mapping
from itertools import pairwise
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

_INTERVAL_S = 0.02  # between two blobs of a partition
_POLL_S = 0.02
_RECENT_S = 1.0
# With librdkafka's defaults these clients, unlike the workers, would wait a minute for a frozen broker.
_OPTIONS = {
    "topic.metadata.refresh.interval.ms": 1_000,
    "metadata.max.age.ms": 2_000,
    "socket.timeout.ms": 5_000,
    "reconnect.backoff.max.ms": 500,
}


class Arrivals:
    """Sends a blob to each partition every 20 ms, and records when committed results arrive.

    All times are of the monotonic clock.
    """

    def __init__(self, env: Mapping[str, str], partitions: int) -> None:
        self._env = env
        self._partitions = range(partitions)
        self._stop = threading.Event()
        self._times: list[list[float]] = [[] for _ in self._partitions]
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._receive)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def first(self) -> float:
        """Return when the last partition had its first result; infinite if one has none."""
        return max(times[0] if times else float("inf") for times in self._times)

    def stalls_s(self, since: float) -> dict[int, float]:
        """Return the longest time without a result since then, by partition."""
        now = time.monotonic()
        return {
            partition: _longest([since, *(arrived for arrived in list(times) if arrived >= since), now])
            for partition, times in enumerate(self._times)
        }

    def idle_s(self, since: float) -> float:
        """Return the longest time since then in which no partition had a result."""
        every = sorted(arrived for times in self._times for arrived in list(times) if arrived >= since)
        return _longest([since, *every, time.monotonic()])

    def flows(self) -> bool:
        """Return whether every partition had a result within the last second."""
        return max(self.stalls_s(time.monotonic() - _RECENT_S).values()) < _RECENT_S

    def _send(self) -> None:
        servers = self._env["STREAM_BOOTSTRAP_SERVERS"]
        producer = Producer({**_OPTIONS, "bootstrap.servers": servers, "linger.ms": 2})
        while not self._stop.wait(_INTERVAL_S):
            for partition in self._partitions:
                producer.produce(
                    self._env["STREAM_INPUT_TOPIC"], "listen to the silent tinsel", partition=partition
                )
            producer.poll(0)
        producer.flush(10)

    def _receive(self) -> None:
        consumer = Consumer(
            {
                **_OPTIONS,
                "bootstrap.servers": self._env["STREAM_BOOTSTRAP_SERVERS"],
                "group.id": "arrivals",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,
            }
        )
        topic = self._env["STREAM_RESULT_TOPIC"]
        consumer.assign([TopicPartition(topic, partition, OFFSET_END) for partition in self._partitions])
        while not self._stop.is_set():
            for message in consumer.consume(1_000, _POLL_S):
                partition = message.partition()
                if message.error() is None and partition is not None:
                    times = self._times[partition]
                    now = time.monotonic()
                    if not times or now - times[-1] > 0.001:
                        times.append(now)
        consumer.close()


def _longest(times: list[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(times))
