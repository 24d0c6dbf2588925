"""Accidents to topics, logs and offsets of a real broker, and the checks of what a worker does after them.

A worker must refuse to continue, or be exact. Anything else is a silent error.
"""

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]
from support import kafka_log
from support.environment import own_env
from support.load import DICTIONARY
from support.process import WorkerProcess
from support.topics import (
    admin_of,
    make_topics,
    plain_totals,
    produce,
    read,
    results,
    settings_of,
    totals,
    wait_until,
)
from test_faults import with_protocol
from test_refusals import run

from stream.broker.embedded import EmbeddedBroker
from stream.errors import Retriable
from stream.kafka import clients, offsets, topics
from stream.tools.kafka.topic_reader import StoredRecord

ROLES = ("input", "result", "count", "dead-letter")
OUTPUTS = ROLES[1:]
TEXTS = ("Listen, silent cat", b"\xff", "stop the post")  # the second one is rejected
OUTCOME_S_MAX = 60.0
QUIET_S = 25.0  # without a change: the worker did not notice the accident
SETTLE_S = 0.5  # for the markers of transactions that ended just before
FIXES = ("anagram-stream offsets", "start over under new names", "anagram-stream topics create")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a worker reported before it exited with status 1."""

    error: str
    fix: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """The part of a topic that an accident replaced: from this offset on it has other records, or none.

    Attributes:
        partition: None for all partitions.
        foreign: number of records from that offset on that the accident itself wrote.
    """

    role: str
    partition: int | None = None
    offset: int = 0
    foreign: int = 0


class GroupUnderTest:
    """A group with its own topics, state folder and worker."""

    def __init__(
        self, broker: EmbeddedBroker, folder: Path, protocol: str = "consumer", partitions: int = 2
    ) -> None:
        self.broker = broker
        self.folder = folder
        env = with_protocol(own_env(broker.bootstrap_servers, folder), protocol, folder)
        self.env = make_topics(env, partitions)
        self.settings = settings_of(self.env)
        self.partitions = range(partitions)
        self.worker = WorkerProcess(self.env, folder / "log")
        self.is_suspended = False
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.broker.pid is None:  # the next test uses it, too
            self.broker.start()
        self.worker.__exit__(kind, error, traceback)

    def topic(self, role: str) -> str:
        return topics.names(self.settings)[role]

    def send(self, texts: Sequence[str | bytes] = TEXTS, partitions: Sequence[int] | None = None) -> None:
        """Produce blobs with unique keys."""
        for partition in self.partitions if partitions is None else partitions:
            produce(self.env, ((f"k{next(self._numbers)}", text) for text in texts), partition=partition)

    def count_some(self, rounds: int = 3) -> None:
        """Let the worker count blobs and reject others on each partition, in some transactions."""
        if not self.worker.is_running:
            self.worker.start()
        for _ in range(rounds):
            self.send()
            self.wait_until_counted()

    def wait_until_counted(self) -> None:
        def is_counted() -> bool:
            assert self.worker.is_running, self.worker.last_lines()
            return {p: offset for p, (offset, _) in self.committed().items()} == self.ends("input")

        wait_until(is_counted, 60, every=0.05)

    def stop(self) -> None:
        assert self.worker.stop() == 0, self.worker.last_lines()

    def suspend(self) -> None:
        self.worker.signal(signal.SIGSTOP)
        self.is_suspended = True
        time.sleep(SETTLE_S)

    def resume(self) -> None:
        self.is_suspended = False
        self.worker.signal(signal.SIGCONT)

    def committed(self) -> dict[int, tuple[int, str | None]]:
        """Return partition -> committed offset and metadata, without partitions that have none."""
        # Unstable offsets, too: while a transaction is open, the client waits seconds for stable ones.
        unstable = {"isolation.level": "read_uncommitted"}
        consumer = clients.make_consumer({**clients.reader_options(self.settings), **unstable})
        try:
            asked = [TopicPartition(self.topic("input"), partition) for partition in self.partitions]
            entries = consumer.committed(asked, 5)
        except KafkaException as error:
            raise Retriable(str(error)) from error
        finally:
            consumer.close()
        return {e.partition: (e.offset, e.metadata) for e in entries if e.offset >= 0}

    def ends(self, role: str) -> dict[int, int]:
        ranges = offsets.offset_ranges(admin_of(self.env), self.topic(role), self.partitions)
        return {partition: end for partition, (_, end) in ranges.items()}

    def sources(self) -> Counter[tuple[int, int]]:
        """Return how many outcomes each input record has, by its partition and offset."""
        counted = Counter((r["source"]["partition"], r["source"]["offset"]) for r in results(self.env))
        for record in read(self.env, "dead-letter"):
            headers = dict(record.headers)
            source = (headers[f"__streams.errors.{name}"] or b"-1" for name in ("partition", "offset"))
            counted[tuple(map(int, source))] += 1  # type: ignore[index]
        return counted

    def outcome(self, worker: WorkerProcess | None = None) -> Refusal | None:
        """Wait until the worker refuses and return the refusal; None if it continues and is exact.

        Anything else is a failure: the worker exits in another way, stalls, or continues with wrong outcomes.
        """
        worker = worker or self.worker
        deadline, quiet_since = time.monotonic() + OUTCOME_S_MAX, time.monotonic()
        last: object = None
        while worker.is_running:
            now = time.monotonic()
            if (state := self._state()) != last:
                last, quiet_since = state, now
            elif now - quiet_since >= QUIET_S:
                differences = self.differences()
                assert not differences, f"neither refused nor exact: {differences}\n{worker.last_lines()}"
                return None
            assert now < deadline, f"neither refused nor settled: {state}\n{worker.last_lines()}"
            time.sleep(0.2)
        return self._refusal(worker)

    def refused(self) -> Refusal:
        refusal = self.outcome()
        assert refusal is not None, "the worker continues, and is exact"
        return refusal

    def check_refused_again(self, partitions: Sequence[int] | None = None) -> None:
        """Check that the next worker refuses, too, with and without the state folder, and commits nothing.

        `partitions` are those that the accident affected, by default all; others may continue.
        """
        partitions = self.partitions if partitions is None else partitions
        before = self._contents(partitions)
        for name in ("state", "empty"):
            env = {**self.env, "STREAM_STATE_DIR": str(self.folder / name)}
            with WorkerProcess(env, self.folder / f"log-{name}") as worker:
                assert self.outcome(worker) is not None, f"the next worker continues (folder: {name})"
        assert self._contents(partitions) == before, "the next worker committed something"

    def check_nothing_new(self, replaced: Replaced) -> None:
        """Check that no transaction read from the replaced part of a topic, or wrote to it."""
        part = [
            record
            for record in read(self.env, replaced.role)
            if replaced.partition in {None, record.partition} and record.offset >= replaced.offset
        ]
        if replaced.role == "input":
            keys = {(record.key or b"").decode() for record in part}
            counted = {result["blob_id"] for result in results(self.env)}
            counted |= {(record.key or b"").decode() for record in read(self.env, "dead-letter")}
            assert not keys & counted, "the worker counted records of the new log"
        else:
            assert len(part) == replaced.foreign, f"the worker wrote to the new log: {part[-5:]}"

    def check_contiguous(self) -> None:
        """Check that each input record up to some offset of its partition has exactly one outcome."""
        sources = self.sources()
        for partition in self.partitions:
            of_partition = sorted(offset for p, offset in sources.elements() if p == partition)
            assert of_partition == list(range(len(of_partition))), f"partition {partition}"

    def differences(self) -> list[str]:
        """Return how outcomes and totals differ from those that the input gives; empty if they are exact."""
        inputs = read(self.env, "input")
        expected = Counter((record.partition, record.offset) for record in inputs)
        sources = self.sources()
        texts = [(r.value or b"").decode() for r in inputs if r.value != b"\xff"]
        totals_differ = totals(self.env) != plain_totals(texts, DICTIONARY)
        by_kind: dict[str, object] = {
            "without an outcome": sorted(expected - sources),
            "with an extra outcome": sorted(sources - expected),
            "totals": totals_differ,
        }
        if not any(by_kind.values()):  # otherwise `verify` may wait for a hanging transaction
            verified = run(self.env, "verify", "--state-dir", self.env["STREAM_STATE_DIR"])
            by_kind["verify"] = verified.stdout + verified.stderr if verified.returncode else ""
        return [f"{kind}: {str(what)[:1500]}" for kind, what in by_kind.items() if what]

    def _refusal(self, worker: WorkerProcess) -> Refusal:
        text = worker.log.read_text()
        assert worker.status == 1, f"exit status {worker.status}\n{text[-3000:]}"
        assert "Traceback" not in text, text[-5000:]
        failed = worker.events("worker failed")[-1]
        error, fix = str(failed["error"]), str(failed.get("fix", ""))
        assert any(command in fix for command in FIXES), f"no fix: {failed}"
        return Refusal(error, fix)

    def _state(self) -> object:
        try:
            return self.committed(), {role: self.ends(role) for role in ROLES}
        except Retriable:
            return time.monotonic()  # the broker is unavailable: nothing is settled

    def _contents(self, partitions: Sequence[int]) -> object:
        committed = self.committed()
        written = [
            (role, record.partition, record.offset)
            for role in OUTPUTS
            for record in read(self.env, role)
            if record.partition in partitions
        ]
        return [committed.get(partition) for partition in partitions], sorted(written)


class Traffic(threading.Thread):
    """Produces blobs to all partitions until it is stopped; blobs that fail are not sent again."""

    def __init__(self, group: GroupUnderTest, prefix: str = "t") -> None:
        super().__init__(daemon=True)
        self._topic = group.topic("input")
        self._partitions = group.partitions
        self._prefix = prefix
        self._stopped = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": group.env["STREAM_BOOTSTRAP_SERVERS"],
                "linger.ms": 5,
                "retries": 0,
                "log_level": 0,
            }
        )

    def run(self) -> None:
        for number in itertools.count():
            for partition in self._partitions:
                text = TEXTS[number % len(TEXTS)]
                key = f"{self._prefix}{partition}-{number}"
                self._producer.produce(self._topic, text, key, partition)
            self._producer.poll(0)
            if self._stopped.wait(0.005):
                break
        self._producer.flush(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self.join(30)


@contextmanager
def worker_in(group: GroupUnderTest, state: str, *, busy: bool = True) -> Iterator[None]:
    """Put the worker into a state during an accident; afterwards it runs, with input to count.

    stopped: after a clean stop. running: if `busy`, with traffic before and after. suspended: by SIGSTOP,
    if `busy` during traffic. reading: a long backlog at full speed.
    """
    if state == "stopped":
        group.stop()
        group.send()
        yield
        group.worker.start()
    elif state == "running":
        if busy:
            with Traffic(group):
                time.sleep(0.5)
                yield
                _wait_while_running(group, 4)
        else:
            yield
    elif state == "suspended":
        if busy:
            with Traffic(group):
                time.sleep(0.5)
                group.suspend()
        else:
            group.suspend()
        yield
        group.resume()
    else:
        assert state == "reading"
        group.stop()
        group.send(["cat", "listen"] * 60_000)
        before = group.committed()
        group.worker.start()
        wait_until(lambda: group.committed() != before, 60, every=0.01)
        yield


def _wait_while_running(group: GroupUnderTest, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while group.worker.is_running and time.monotonic() < deadline:
        time.sleep(0.1)


def recreate(group: GroupUnderTest, role: str, partitions: int | None = None) -> Replaced:
    """Delete a topic and recreate it at once, by default with the same number of partitions."""
    admin, name = admin_of(group.env), group.topic(role)
    config = topics.wanted_configs(group.settings)[role]
    former = topics.describe(admin, group.settings)[role]
    admin.delete_topics([name])[name].result(20)

    def is_created() -> bool:
        try:
            admin.create_topics([NewTopic(name, partitions or former.partitions, 1, config=config)])[
                name
            ].result(20)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # it is not deleted yet
                raise
            return False
        return True

    def is_new() -> bool:
        described = topics.describe(admin_of(group.env), group.settings).get(role)
        return described is not None and described.id != former.id

    wait_until(is_created, 20, every=0.01)
    wait_until(is_new, 20, every=0.05)
    return Replaced(role)


def refill(group: GroupUnderTest, replaced: Replaced, former: Sequence[StoredRecord]) -> Replaced:
    """Write each former record of an output topic twice, as a copy tool may."""
    copies = [record for record in former if replaced.partition in {None, record.partition}] * 2
    producer = Producer({"bootstrap.servers": group.env["STREAM_BOOTSTRAP_SERVERS"]})
    for record in copies:
        headers: list[tuple[str, str | bytes | None]] = [*record.headers]
        producer.produce(record.topic, record.value, record.key, record.partition, headers=headers)
    assert producer.flush(30) == 0
    return replace(replaced, foreign=len(copies))


def truncate(group: GroupUnderTest, role: str, keep: kafka_log.Keep | int, partition: int = 0) -> Replaced:
    """Stop the broker, cut the log of a partition, start the broker.

    A running worker stays suspended until the broker is down, so that no transaction ends meanwhile; see
    `EmbeddedBroker.stop`.
    """
    suspended_here = group.worker.is_running and not group.is_suspended
    if suspended_here:
        group.suspend()
    group.broker.stop()
    if suspended_here:
        group.resume()
    end = kafka_log.cut(group.broker, group.topic(role), partition, keep)
    group.broker.start()
    kafka_log.check_cut(group.broker, group.topic(role), partition, end)
    return Replaced(role, partition, end)


def commit_by_stranger(group: GroupUnderTest, moved: Mapping[int, int]) -> None:
    """Commit offsets as a plain consumer with the same group id does; the group has no members."""
    consumer = Consumer(
        {
            "bootstrap.servers": group.env["STREAM_BOOTSTRAP_SERVERS"],
            "group.id": group.env["STREAM_GROUP_ID"],
            "enable.auto.commit": False,
        }
    )
    positions = [TopicPartition(group.topic("input"), p, offset) for p, offset in moved.items()]
    consumer.commit(offsets=positions, asynchronous=False)
    consumer.close()


def alter_offsets(
    group: GroupUnderTest, moved: Mapping[int, int], metadata: Mapping[int, str | None] | None = None
) -> None:
    """Set offsets as an administrator does, as soon as the group has no members."""
    kept = metadata or {}
    positions = [
        TopicPartition(group.topic("input"), p, offset, metadata=kept.get(p) or "")
        for p, offset in moved.items()
    ]
    request = ConsumerGroupTopicPartitions(group.env["STREAM_GROUP_ID"], positions)

    admin = admin_of(group.env)

    def is_altered() -> bool:
        try:
            (future,) = admin.alter_consumer_group_offsets([request]).values()
            return all(entry.error is None for entry in future.result(20).topic_partitions)
        except KafkaException:
            return False  # the group still has members

    wait_until(is_altered, 30, every=0.2)
    assert {p: offset for p, (offset, _) in group.committed().items()}.items() >= moved.items()


def delete_offsets(group: GroupUnderTest) -> None:
    """Delete the group with its offsets, as soon as it has no members; an expiry has the same effect."""
    admin, name = admin_of(group.env), group.env["STREAM_GROUP_ID"]

    def is_deleted() -> bool:
        try:
            admin.delete_consumer_groups([name])[name].result(20)
        except KafkaException:
            return False
        return True

    wait_until(is_deleted, 30, every=0.2)
    assert group.committed() == {}


def commit_by_member(group: GroupUnderTest, *, ahead: bool) -> list[int]:
    """Join the group as a foreign consumer, commit the end or start of its partitions, and leave.

    Return the partitions.
    """
    protocol = group.env["STREAM_GROUP_PROTOCOL"]
    classic = {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 6000}
    consumer = Consumer(
        {
            "bootstrap.servers": group.env["STREAM_BOOTSTRAP_SERVERS"],
            "group.id": group.env["STREAM_GROUP_ID"],
            "group.protocol": protocol,
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
            **(classic if protocol == "classic" else {}),
        }
    )
    consumer.subscribe([group.topic("input")])
    deadline = time.monotonic() + 30
    while not (owned := consumer.assignment()):
        consumer.poll(0.1)
        assert time.monotonic() < deadline, "no partition was assigned to the foreign consumer"
    for each in owned:
        each.offset = consumer.get_watermark_offsets(each)[1] if ahead else 0
    consumer.commit(offsets=owned, asynchronous=False)
    consumer.close()
    return [each.partition for each in owned]
