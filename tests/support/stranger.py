"""A member of a worker's group that is not a worker: it polls and owns partitions, but counts nothing."""

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer

PROTOCOLS = {
    "consumer": {"group.protocol": "consumer"},
    "classic": {"group.protocol": "classic", "partition.assignment.strategy": "cooperative-sticky"},
}


class Stranger:
    """Polls in its own thread until closed; only that thread uses the consumer.

    Attributes:
        partitions: the input partitions that it owns.
    """

    def __init__(self, env: Mapping[str, str], protocol: str = "consumer", *, commits: bool = False) -> None:
        """`commits`: whether it commits the offsets of what it polls, as consumers do by default."""
        self.partitions: list[int] = []
        self._env = env
        self._options = {
            "bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"],
            "group.id": env["STREAM_GROUP_ID"],
            "enable.auto.commit": commits,
            "auto.commit.interval.ms": 500,
            "auto.offset.reset": "earliest",
            **PROTOCOLS[protocol],
        }
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Leave the group."""
        self._closed.set()
        self._thread.join(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        consumer = Consumer(self._options)
        consumer.subscribe([self._env["STREAM_INPUT_TOPIC"]])
        while not self._closed.is_set():
            consumer.poll(0.1)
            self.partitions = [each.partition for each in consumer.assignment()]
        consumer.close()
