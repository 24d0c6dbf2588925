"""The transactional producer: begin, produce, send offsets, commit, abort."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice, repeat
from operator import length_hint
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from stream.core.columns import Outputs
from stream.core.evidence import Appended, CommittedOffset, LogEnds
from stream.core.fold import Changes
from stream.core.records import Header
from stream.errors import Abortable, Blocked, InDoubt, Retriable, StreamError
from stream.kafka.burst import Burst, Run
from stream.kafka.clients import Options, make_producer
from stream.kafka.deliveries import Deliveries
from stream.kafka.event_time import EventTime
from stream.kafka.failure import CALL_FAILED, describe, from_produce, from_transaction, kafka_error
from stream.kafka.output_logs import OutputLogs
from stream.kafka.partitions import partitions_of
from stream.kafka.topic_watch import TopicWatch

REPORTS_EVERY = 5_000  # changelog records between two calls that take delivery reports
RESET_S_MAX = 5.0  # per attempt; the loop polls the group in between


class KafkaSink:
    """A transactional producer. After InDoubt it is unusable until `reset_producer`."""

    def __init__(  # noqa: PLR0913, PLR0917 - its parts
        self,
        options: Options,
        topics: Mapping[str, str],
        timeout_s: float,
        watch: TopicWatch,
        logs: OutputLogs,
        event_time: EventTime | None = None,
    ) -> None:
        self.topic_ids = watch.ids
        self._options = options
        self._watch = watch
        self._logs = logs
        self._event_time = event_time or EventTime()
        self._input_topic = topics["input"]
        self._result_topic = topics["result"]
        self._count_topic = topics["count"]
        self._dead_letter_topic = topics["dead-letter"]
        self._timeout_s = timeout_s
        self._producer: Producer | None = None
        self._ready = False
        self._partitions: dict[str, int] = {}
        self._began_at = 0.0
        self._deliveries, self._burst = Deliveries(), Burst(self._produce)
        self._compare_ids: Callable[[], None] | None = None  # waits for the topic ids, and compares them

    def check(self, partition: int) -> None:
        for topic in (self._result_topic, self._count_topic):
            if partition < self._partitions.get(topic, 0):
                continue
            self._partitions[topic] = partitions_of(self._open(), topic)
            if partition >= self._partitions[topic]:
                raise Blocked(
                    f"{topic} has no partition {partition}, so input partition {partition} waits",
                    "anagram-stream topics create",
                )

    def check_topics(self) -> None:
        self._watch.check()

    def log_ends(self, ends: Mapping[int, LogEnds]) -> Mapping[int, LogEnds]:
        return self._logs.ends(ends)

    def has_outcomes(self, partition: int) -> bool:
        return self._logs.has_outcomes(
            partition, max(1, partitions_of(self._open(), self._dead_letter_topic))
        )

    def reset_producer(self) -> None:
        self._forget_clients()
        if self._producer is None or self._ready:
            self._discard()
            self._producer = make_producer(self._options)
        is_connected = False
        try:
            # Connect first: without a connection librdkafka looks for the coordinator again after 500 ms.
            # Twice: the first response comes from the bootstrap address, the second from a broker.
            for _ in range(2):
                self._producer.list_topics(self._result_topic, RESET_S_MAX)
            is_connected = True
            self._producer.init_transactions(RESET_S_MAX)
        except KafkaException as error:
            failure = from_transaction(kafka_error(error), timed_out=True)
            if isinstance(failure, (Abortable, InDoubt)):
                if kafka_error(error).fatal() or not is_connected:  # see connection.py
                    self._discard()
                raise Retriable(f"the transactional id is not available yet: {failure}") from error
            raise failure from error
        self._ready = True

    def begin(self) -> None:
        self._forget_ids()
        self._began_at = time.monotonic()
        self._deliveries, self._burst = Deliveries(), Burst(self._produce)
        self._call(self._open().begin_transaction)

    def produce(self, outputs: Outputs) -> None:
        if outputs.results:
            stamped = self._event_time.stamp_results(outputs.results)
            self._add(stamped.partition, "result", Run.of_results(stamped))
        for record in self._event_time.stamp_dead_letters(outputs.dead_letters):
            to = record.partition % self._dead_letter_partitions()
            self._add(record.partition, "dead-letter", Run.of_record(record, to))
        self._take_reports()

    def produce_changelog(self, partition: int, changes: Changes, headers: Sequence[Header]) -> None:
        """Add changed totals; the last record carries `headers`, and its delivery report is awaited."""
        for run in Run.of_changes((self._count_topic, partition), changes, headers):
            self._add(partition, "count", run)

    def flush(self) -> Mapping[int, Mapping[str, Appended]]:
        """Wait for all delivery reports, then request the ids of the topics, which `commit` compares.

        `commit_transaction` waits for the records anyway. To wait before the offsets are sent lets their
        metadata contain where the records are. It is not slower: offsets that are sent while records are in
        flight may have to wait until a busy coordinator is retried.
        """
        self._burst.release()
        self._call(lambda: self._open().flush(max(0.1, self._remaining_s())))
        self._compare_ids = self._watch.request_due()
        try:
            return self._deliveries.appended()
        except Abortable:
            self._raise_transaction_error()
            raise

    def send_offsets(self, offsets: Mapping[int, CommittedOffset], group_metadata: object) -> None:
        entries = [
            TopicPartition(
                self._input_topic, partition, committed.offset, committed.metadata, committed.leader_epoch
            )
            for partition, committed in offsets.items()
        ]
        timeout_s = max(0.1, self._remaining_s())
        self._call(lambda: self._open().send_offsets_to_transaction(entries, group_metadata, timeout_s))

    def commit(self) -> None:
        compare_ids, self._compare_ids = self._compare_ids, None
        if compare_ids is not None:
            try:
                compare_ids()
            except Retriable as reason:
                raise Abortable(str(reason)) from reason
        self._burst.release()  # does nothing after `flush`
        self._call(lambda: self._open().commit_transaction(max(0.1, self._remaining_s())))

    def abort(self) -> None:
        """Abort; a failure leaves the outcome in doubt."""
        self._burst = Burst(self._produce)
        self._forget_clients()
        try:
            self._open().abort_transaction(self._timeout_s)
        except CALL_FAILED as error:
            failure = from_transaction(kafka_error(error), timed_out=self._timed_out())
            raise failure if not isinstance(failure, Abortable) else InDoubt(str(failure)) from error

    def close(self) -> None:
        self._forget_ids()
        self._discard()

    def _forget_ids(self) -> None:
        """Wait for the ids that a transaction requested but did not compare."""
        compare_ids, self._compare_ids = self._compare_ids, None
        if compare_ids is not None:
            with suppress(StreamError):
                compare_ids()

    def _forget_clients(self) -> None:
        """Replace the admin clients: after a failover each of them waits 5 s for the broker that died."""
        self._watch.forget()
        self._logs.forget()

    def _raise_transaction_error(self) -> None:
        """Raise the error that failed the transaction, if any; its records are reported only after the abort.

        `begin_transaction` raises that error; in a transaction without an error the call has no effect.
        """
        try:
            self._open().begin_transaction()
        except KafkaException as error:
            if kafka_error(error).code() != KafkaError._STATE:  # noqa: SLF001
                raise self._failure(kafka_error(error)) from error

    def _take_reports(self) -> None:
        """Take delivery reports: librdkafka keeps each record until its report is taken."""
        self._call(lambda: self._open().poll(0))

    def _add(self, owner: int, role: str, run: Run) -> None:
        """Add the outcomes or totals of the input partition `owner`."""
        self._deliveries.add(owner, role, run)
        self._burst.add(run)

    def _produce(self, run: Run) -> None:
        """Hand records over to librdkafka."""
        (topic, partition), unreported = run.log, len(run) - run.is_reported
        remaining = iter(run.values[:unreported])
        more = (repeat(None), repeat(None), run.timestamps_ms, map(list, run.headers)) if run.headers else ()
        try:  # only C functions and positional arguments: keywords cost more than a timestamp
            producing = map(
                self._open().produce, repeat(topic), remaining, run.keys, repeat(partition), *more
            )
            while deque(islice(producing, REPORTS_EVERY), maxlen=1):
                self._take_reports()
            done = unreported
        except (BufferError, KafkaException):
            done = unreported - length_hint(remaining) - 1  # the refused record is sent again
        for position in range(done, len(run)):
            self._send(run, position)

    def _open(self) -> Producer:
        assert self._producer is not None, "reset the producer first"
        return self._producer

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.purge(blocking=False)
            self._producer = None
        self._ready = False

    def _call(self, call: Callable[[], object]) -> None:
        try:
            call()
        except CALL_FAILED as error:
            raise self._failure(kafka_error(error)) from error

    def _failure(self, error: KafkaError) -> StreamError:
        if error.code() == KafkaError.INVALID_TIMESTAMP:  # of a record; a retry would fail again
            return self._event_time.refused(describe(error))
        return from_transaction(error, timed_out=self._timed_out())

    def _send(self, run: Run, position: int) -> None:
        """Hand one record over to librdkafka; wait if its queue is full."""
        is_reported = run.is_reported and position == len(run) - 1
        (topic, partition), key, value = run.log, run.keys[position], run.values[position]
        more: dict[str, Any] = {}
        if run.headers:
            more = {"timestamp": run.timestamps_ms[position], "headers": list(run.headers[position])}
        if is_reported:
            more["on_delivery"] = self._deliveries.report
        while True:
            try:
                self._open().produce(topic, value, key, partition, **more)
            except BufferError:
                if self._remaining_s() <= 0:
                    raise Abortable("the broker did not accept the transaction's records in time") from None
                self._call(lambda: self._open().poll(0.05))
            except KafkaException as error:
                raise from_produce(kafka_error(error), timed_out=self._timed_out()) from error
            else:
                return

    def _remaining_s(self) -> float:
        return self._timeout_s - (time.monotonic() - self._began_at)

    def _timed_out(self) -> bool:
        return time.monotonic() - self._began_at >= self._timeout_s

    def _dead_letter_partitions(self) -> int:
        topic = self._dead_letter_topic
        if topic not in self._partitions:
            try:
                self._partitions[topic] = max(1, partitions_of(self._open(), topic))
            except Retriable as reason:
                raise Abortable(str(reason)) from reason
        return self._partitions[topic]
