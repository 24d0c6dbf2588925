"""Changes the offsets of a group without members: reads its state, plans, commits in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from stream.config import Settings
from stream.core.columns import Outputs
from stream.core.evidence import CommittedOffset, Evidence, advance_ends
from stream.core.partition_facts import PartitionFacts
from stream.core.processed_offset import PROCESSED_KEY
from stream.core.records import OutputRecord
from stream.errors import Abortable, Fatal, Fenced, InDoubt, MustNotCommit, Refused, Retriable
from stream.kafka import topics as kafka_topics
from stream.kafka.clients import Admin, make_admin, make_consumer, reader_options, transactional_options
from stream.kafka.offsets import Offsets, offset_ranges, stable_commits
from stream.kafka.output_logs import OutputLogs
from stream.kafka.sink import KafkaSink
from stream.kafka.topic_watch import TopicWatch
from stream.kafka.topics import Topics, names
from stream.ports import Sink
from stream.tools.kafka.group import describe_group
from stream.tools.kafka.topic_reader import read_topic
from stream.tools.offsets.facts import COMMITTED_TIMEOUT_S, read_facts
from stream.tools.offsets.outcomes import read_outcomes
from stream.tools.offsets.plan import LastOutcomes, Move
from stream.worker.startup import retry_while_unreachable

INSTANCE = "offsets"  # the transactional id is `<group>-offsets`; a second command fences the first
AGAIN = "run the command again"
SHOW = "check the group with `anagram-stream offsets show`, and " + AGAIN + " if needed"
Plan = Callable[[Sequence["PartitionState"]], list[Move]]


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The state of an input partition: the facts for the rule, and the last outcomes."""

    facts: PartitionFacts
    outcomes: LastOutcomes


class OffsetsOperation:
    """Reads the state of all partitions, and commits moves.

    Attributes:
        topics: the four topics, as they were when the operation started.
    """

    def __init__(self, settings: Settings, admin: Admin, digest: str) -> None:
        """`digest` is that of the dictionary.

        Raises:
            Refused: the broker is unavailable, or a topic is missing.
        """
        self._settings = settings
        self._admin = admin
        self._digest = digest
        self._options = reader_options(settings)
        self.topics: Topics = retry_while_unreachable(settings, lambda: kafka_topics.check(admin, settings))

    def read(self) -> list[PartitionState]:
        """Return the state of each input partition.

        Raises:
            Refused: the broker is unavailable, or a transaction stays open.
        """
        return retry_while_unreachable(self._settings, self._read)

    def _read(self) -> list[PartitionState]:
        facts = read_facts(self._settings, self._admin, self.topics, self._digest)
        outcomes = read_outcomes(self._settings, self._admin, self.topics, facts)
        return [PartitionState(each, outcomes[each.partition]) for each in facts]

    def check_unused(self) -> None:
        """Check that the group has no members.

        Raises:
            Refused: it has members, which may commit offsets at any time.
        """
        group = self._settings.group_id
        members = describe_group(self._admin, group, self._settings.input_topic).members
        if members:
            first = members[0]
            raise Refused(
                f"the group {group} has {len(members)} member{'s' * (len(members) > 1)}, such as "
                f"{first.client_id} on {first.host}, which may commit offsets at any time",
                "stop all its consumers, wait until `anagram-stream lag` shows no members, then " + AGAIN,
            )

    def write(self, moves: Sequence[Move], plan: Plan) -> None:
        """Commit the moves in one transaction, if `plan` still returns the same ones.

        Raises:
            Refused: the state changed meanwhile, and nothing was committed.
        """
        settings = self._settings
        watch = TopicWatch(lambda: make_admin(settings), names(settings), self.topics.ids)
        logs = OutputLogs(self._options, Offsets(lambda: make_admin(settings)), names(settings))
        options = transactional_options(settings, INSTANCE, self.topics.batch_bytes_max)
        timeout_s = settings.transaction_timeout_ms / 1000
        with (
            closing(KafkaSink(options, names(settings), timeout_s, watch, logs)) as sink,
            closing(make_consumer(self._options)) as consumer,
        ):
            retry_while_unreachable(settings, sink.reset_producer)
            retry_while_unreachable(settings, sink.check_topics)
            self.check_unused()
            if _targets(plan(self.read())) != _targets(moves):
                raise Refused("the offsets or the logs changed meanwhile; nothing was committed", AGAIN)
            epochs = retry_while_unreachable(settings, lambda: self._leader_epochs(moves))
            metadata = consumer.consumer_group_metadata()
            transact(sink, lambda: self._produce(sink, moves, epochs, metadata))

    def _produce(
        self,
        sink: KafkaSink,
        moves: Sequence[Move],
        epochs: Mapping[int, int],
        group_metadata: object,
    ) -> None:
        for move in moves:
            sink.produce(Outputs.of((), self._skip_records(move)))
            changes = {PROCESSED_KEY: b"%d" % move.offset}
            sink.produce_changelog(move.facts.partition, changes, move.processed.headers())
        committed = {}
        for number, appended in sink.flush().items():
            move = next(each for each in moves if each.facts.partition == number)
            ends = advance_ends(move.ends, appended)
            evidence = Evidence(move.offset, sink.topic_ids, self._digest, ends)
            committed[number] = CommittedOffset(move.offset, evidence.encode(), epochs.get(number, -1))
        sink.send_offsets(committed, group_metadata)
        # A worker that joins from here on waits for this transaction before it reads its offsets.
        self._check_unchanged(moves)

    def _check_unchanged(self, moves: Sequence[Move]) -> None:
        """Check that no client joined or committed since the state was read.

        Raises:
            MustNotCommit: one did.
        """
        options = {**self._options, "isolation.level": "read_uncommitted"}  # not those of this transaction
        known = {move.facts.partition: move.facts.committed for move in moves}
        present = stable_commits(options, self._settings.input_topic, list(known), COMMITTED_TIMEOUT_S)
        try:
            self.check_unused()
        except Refused as why:
            raise MustNotCommit(str(why), why.hint) from why
        if present != known:
            raise MustNotCommit("another client committed offsets meanwhile", AGAIN)

    def _skip_records(self, move: Move) -> list[OutputRecord]:
        if move.skipped is None:
            return []
        headers = move.skipped.headers(self._settings.input_topic, self._settings.group_id)
        topic = self._settings.dead_letter_topic
        return [OutputRecord(topic, move.facts.partition, None, None, headers)]

    def _leader_epochs(self, moves: Sequence[Move]) -> dict[int, int]:
        """Return, by partition, the leader epoch of the record before the new offset, if there is one."""
        topic = self._settings.input_topic
        ranges = offset_ranges(self._admin, topic, [move.facts.partition for move in moves], stable=True)
        ends = {
            move.facts.partition: move.offset
            for move in moves
            if ranges[move.facts.partition][0] < move.offset <= ranges[move.facts.partition][1]
        }
        start = {partition: end - 1 for partition, end in ends.items()}
        records = read_topic(self._options, self._admin, topic, start=start, ends=ends)
        return {record.partition: record.leader_epoch for record in records}


def transact(sink: Sink, produce: Callable[[], None]) -> None:
    """Call `produce` in a transaction, and commit it.

    Raises:
        Refused: it was not committed, or this is unknown; the message states which.
    """
    failed = "nothing was committed"
    try:
        sink.begin()
        produce()
        failed = "it is unknown whether the offsets were committed"
        sink.commit()
    except Fenced as error:
        raise Refused(f"{failed}: another `offsets` command of this group took over", SHOW) from error
    except InDoubt as error:
        raise Refused(f"{failed}: {error}", SHOW) from error
    except (Abortable, Retriable, Fatal) as error:
        with suppress(InDoubt, Fatal):  # the broker aborts the transaction after its timeout
            sink.abort()
        raise Refused(f"nothing was committed: {error}", getattr(error, "hint", AGAIN)) from error


def _targets(moves: Sequence[Move]) -> list[object]:
    """Return what the moves do; their other fields may change meanwhile, as the end of the input does."""
    return [(move.facts.partition, move.offset, move.skipped) for move in moves]
