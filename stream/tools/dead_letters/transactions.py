"""The transaction of a replay: records for the input topic, the list of dead letters, and the position."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from types import TracebackType
from typing import NamedTuple, Self

from stream.config import Settings
from stream.core.columns import Outputs
from stream.core.evidence import CommittedOffset, Evidence, LogEnds, advance_ends
from stream.core.records import OutputRecord
from stream.core.replay import replayed_headers
from stream.errors import Fenced, InDoubt, Refused, StreamError
from stream.kafka.clients import Admin, make_admin, make_consumer, transactional_options
from stream.kafka.event_time import EventTime
from stream.kafka.offsets import Offsets
from stream.kafka.output_logs import OutputLogs
from stream.kafka.sink import KafkaSink
from stream.kafka.topic_watch import TopicWatch
from stream.kafka.topics import Topics, names
from stream.tools.dead_letters.state import ReplayState, group_options, read_state, replay_group

INSTANCE = "replay"  # the transactional id is `<group>-replay`, so a second replay fences the first


class Replayed(NamedTuple):
    """A dead letter and the record to send for it.

    Attributes:
        partition: partition of the dead-letter topic.
        offset: offset in the dead-letter topic.
        reason: reason of the rejection.
    """

    partition: int
    offset: int
    reason: str
    record: OutputRecord


class ReplayTransactions:
    """Sends records for dead letters; only the process that called `open` last can do so.

    A replay is a stream from the dead-letter topic to the input topic, so it uses the sink of a worker: the
    input is the dead-letter topic, the results are the sent records.
    """

    def __init__(self, settings: Settings, admin: Admin, topics: Topics) -> None:
        self._settings, self._admin, self._topics = settings, admin, topics
        by_role = names(settings)
        batch_bytes = min(topics.batch_bytes_max, topics.input.record_bytes_max)
        self._sink = KafkaSink(
            transactional_options(settings, INSTANCE, batch_bytes),
            {**by_role, "input": by_role["dead-letter"], "result": by_role["input"]},
            settings.transaction_timeout_ms / 1000,
            TopicWatch(lambda: make_admin(settings), by_role, topics.ids),
            OutputLogs(group_options(settings), Offsets(lambda: make_admin(settings)), by_role),
            EventTime(topics.input.timestamp_limits, topics.dead_letter.timestamp_limits),
        )
        self._consumer = make_consumer(group_options(settings))
        self._log_ends: dict[int, LogEnds] = {}

    def open(self) -> ReplayState:
        """Fence an earlier replay, wait until its transaction has ended, and read what was replayed.

        Raises:
            Retriable: the broker is unavailable.
            Refused: as for `read_state`.
        """
        self._sink.reset_producer()
        self._sink.check_topics()
        state = read_state(self._settings, self._admin, self._topics)
        self._log_ends = dict(state.log_ends)
        return state

    def send(self, batch: Sequence[Replayed], positions: Mapping[int, int]) -> None:
        """Send the records of a batch, list their dead letters as replayed, and commit the positions.

        `positions` are by partition of the dead-letter topic; those of the batch's partitions are committed.

        Raises:
            Abortable: nothing was sent.
            InDoubt: it is unknown whether all or nothing was sent; `open` finds out.
            Refused: nothing was sent; another replay started, or a topic was created again.
            Fatal: nothing was sent; a record cannot be sent.
        """
        sink = self._sink
        try:
            sink.begin()
            for _, run in groupby((each.record for each in batch), lambda record: record.partition):
                sink.produce(Outputs.of(run))
            sink.produce(Outputs.of((), self._lists(batch)))
            ends = {
                partition: advance_ends(self._log_ends.get(partition, {}), {"dead-letter": new})
                for partition, appended in sink.flush().items()
                if (new := appended.get("dead-letter")) is not None
            }
            offsets = {p: self._position(positions[p], ends[p]) for p in positions.keys() & ends.keys()}
            if offsets:
                sink.send_offsets(offsets, self._consumer.consumer_group_metadata())
            sink.commit()
        except InDoubt:
            raise
        except Fenced as why:
            raise self._taken_over() from why
        except StreamError:
            self._abort()
            raise
        self._log_ends |= ends

    def _abort(self) -> None:
        """Abort, because workers wait for an open transaction.

        Raises:
            InDoubt: the abort failed.
            Refused: another replay started.
        """
        try:
            self._sink.abort()
        except Fenced as why:
            raise self._taken_over() from why

    def _taken_over(self) -> Refused:
        return Refused(
            f"another replay of the group {self._settings.group_id} started, or the broker aborted the "
            "transaction; nothing in it was sent",
            "run one replay at a time; run this command again to send the rest",
        )

    def _lists(self, batch: Iterable[Replayed]) -> list[OutputRecord]:
        offsets: dict[int, list[int]] = {}
        for each in batch:
            offsets.setdefault(each.partition, []).append(each.offset)
        input_topic, group = self._settings.input_topic, self._settings.group_id
        topic = self._settings.dead_letter_topic
        return [
            OutputRecord(
                topic,
                partition,
                None,
                None,
                replayed_headers(listed, input_topic, group, self._topics.dead_letter.id),
            )
            for partition, listed in offsets.items()
        ]

    def _position(self, offset: int, ends: LogEnds) -> CommittedOffset:
        evidence = Evidence(offset, self._topics.ids, replay_group(self._settings), ends)
        return CommittedOffset(offset, evidence.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            with suppress(StreamError, AssertionError):  # no open transaction, or no producer
                self._sink.abort()
        self._sink.close()
        self._consumer.close()
