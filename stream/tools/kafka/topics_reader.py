"""Reads the committed records of several topics at once, without an end."""

from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from stream.kafka.clients import Options, make_consumer
from stream.kafka.connection import Connection
from stream.kafka.offsets import LogPartition
from stream.kafka.reader import position_after, read_messages

_RECORDS_MAX, _PREFETCH_KIB = 20_000, 8 * 1024  # per read; prefetched by the client
_FETCH_WAIT_MS = 100


class LogChunk(NamedTuple):
    """What one read returned of one partition.

    Attributes:
        messages: its committed records, in order; perhaps none.
        position: the next offset to read, which includes transaction markers.
    """

    messages: list[Message]
    position: int


class TopicsReader:
    """A consumer of given partitions; if it loses its brokers for good, it is replaced at its positions."""

    def __init__(self, options: Options, positions: Mapping[LogPartition, int]) -> None:
        self._options = {
            **options,
            "queued.max.messages.kbytes": _PREFETCH_KIB,
            "fetch.wait.max.ms": _FETCH_WAIT_MS,
        }
        self._positions = dict(positions)
        self._connection = Connection(next(topic for topic, _ in positions))
        self._consumer = self._opened()

    def add(self, positions: Mapping[LogPartition, int]) -> None:
        """Read these partitions, too."""
        self._positions |= positions
        self._consumer.incremental_assign([TopicPartition(*log, offset) for log, offset in positions.items()])

    def read(self, wait_s: float) -> Mapping[LogPartition, LogChunk]:
        """Return what has arrived, after at most `wait_s`.

        Raises:
            Fatal: a log was truncated below the position, or access is denied.
        """
        messages = read_messages(self._consumer, _RECORDS_MAX, wait_s)
        if not messages and self._connection.is_lost(self._consumer):
            self.close()
            self._consumer = self._opened()
        taken: dict[LogPartition, list[Message]] = {}
        positions: dict[LogPartition, int] = {}
        for (topic, partition), run in groupby(messages, lambda each: (each.topic(), each.partition())):
            if topic is None or partition is None:
                for each in run:
                    position_after(each)  # raises an error that is not transient
                continue
            several = list(run)
            records = [each for each in several if each.error() is None]
            # Only the last record matters; an event at the end of a partition has a position, too.
            events = [each for each in several if each.error() is not None]
            known = [after for each in (*records[-1:], *events) if (after := position_after(each)[1])]
            log = topic, partition
            taken.setdefault(log, []).extend(records)
            if known:
                positions[log] = max(positions.get(log, 0), *known)
        self._positions |= positions
        return {log: LogChunk(taken[log], self._positions[log]) for log in taken if log in self._positions}

    def close(self) -> None:
        self._consumer.close()

    def _opened(self) -> Consumer:
        consumer = make_consumer(self._options)
        consumer.assign([TopicPartition(*log, offset) for log, offset in self._positions.items()])
        return consumer
