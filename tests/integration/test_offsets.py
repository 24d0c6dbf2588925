"""`offsets` after each accident: a worker resumes exactly, the loss is recorded, or `offsets` refuses."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]
from support import kafka_log
from support.accidents import (
    GroupUnderTest,
    alter_offsets,
    commit_by_stranger,
    delete_offsets,
    recreate,
    truncate,
)
from support.environment import SHORT_SESSIONS, SOON_ABORTED
from support.topics import admin_of, produce, read, wait_until
from test_refusals import run

from stream.broker.embedded import EmbeddedBroker
from stream.core.dead_letter import to_dead_letter
from stream.core.evidence import COUNTED, read_evidence
from stream.core.processed_offset import ProcessedOffset
from stream.core.records import InputRecord
from stream.dictionary import load_index
from stream.errors import Reason, Refused, Rejected
from stream.tools.offsets.operation import OffsetsOperation, PartitionState
from stream.tools.offsets.plan import Move, plan_skip

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
PROTOCOLS = pytest.mark.parametrize("protocol", ["classic", "consumer"])
DIGEST = load_index(None).digest


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(
        data_dir=tmp_path_factory.mktemp("broker"), properties=SHORT_SESSIONS | SOON_ABORTED
    ) as running:
        yield running


@pytest.fixture
def protocol() -> str:
    return "consumer"


@pytest.fixture
def group(broker: EmbeddedBroker, tmp_path: Path, protocol: str) -> Iterator[GroupUnderTest]:
    with GroupUnderTest(broker, tmp_path, protocol) as under_test:
        yield under_test


def offsets(group: GroupUnderTest, *args: str, status: int = 0) -> str:
    done = run(group.env, "offsets", *args)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def shown(group: GroupUnderTest, *, refused: int) -> list[dict[str, object]]:
    report = json.loads(offsets(group, "show", "--format", "json", status=1 if refused else 0))
    assert report["refused"] == refused, report
    partitions: list[dict[str, object]] = report["partitions"]
    return partitions


def verified(group: GroupUnderTest, status: int = 0) -> dict[str, object]:
    done = run(group.env, "verify", "--state-dir", group.env["STREAM_STATE_DIR"], "--format", "json")
    assert done.returncode == status, done.stdout + done.stderr
    verdict: dict[str, object] = json.loads(done.stdout)
    return verdict


def check_exact_after(group: GroupUnderTest) -> None:
    """Check that a worker resumes and counts the remaining input, and that outcomes and totals are exact."""
    shown(group, refused=0)
    group.worker.start()
    group.wait_until_counted()
    group.stop()
    assert group.differences() == []


def counted(group: GroupUnderTest) -> None:
    """Let a worker count some blobs and stop; then send some that stay uncounted."""
    group.count_some()
    group.stop()
    group.send()


@PROTOCOLS
def test_offsets_that_a_stranger_moved_ahead_are_moved_back(group: GroupUnderTest) -> None:
    counted(group)
    commit_by_stranger(group, group.ends("input"))
    for each in shown(group, refused=2):
        assert each["written_by"] == "another client"
        assert "would skip the input" in str(each["refused"])
    assert "run the command again with --yes" in offsets(group, "resume", status=1)
    shown(group, refused=2)
    offsets(group, "resume", "--partition", "1", "--yes")
    shown(group, refused=1)
    offsets(group, "resume", "--yes")
    assert "nothing to do" in offsets(group, "resume", "--yes")
    check_exact_after(group)


def test_offsets_that_were_moved_back_are_moved_ahead(group: GroupUnderTest) -> None:
    counted(group)
    alter_offsets(group, {0: 0, 1: 1})
    offsets(group, "resume", "--yes")
    check_exact_after(group)


@PROTOCOLS
def test_deleted_group_resumes_where_the_totals_end(group: GroupUnderTest) -> None:
    counted(group)
    before = group.committed()
    delete_offsets(group)
    offsets(group, "resume", "--yes")
    after = group.committed()
    assert {p: offset for p, (offset, _) in after.items()} == {p: offset for p, (offset, _) in before.items()}
    check_exact_after(group)


def test_offsets_of_a_stranger_on_a_new_group_are_moved_back_to_the_start(group: GroupUnderTest) -> None:
    group.send()
    commit_by_stranger(group, group.ends("input"))
    shown(group, refused=2)
    offsets(group, "resume", "--yes")
    check_exact_after(group)


def test_skipped_input_is_reported_as_skipped(group: GroupUnderTest) -> None:
    counted(group)
    first = group.committed()[0][0]
    offsets(group, "skip", "--partition", "0", "--to", str(first + 1), "--yes")
    group.send()
    group.worker.start()
    group.wait_until_counted()
    group.stop()
    assert verified(group)["skipped"] == 1
    group.send()
    assert "offsets)" in offsets(group, "skip", "--partition", "0", "--to", "end", "--yes")
    assert group.committed()[0][0] == group.ends("input")[0]
    assert verified(group)["skipped"] == 4


def test_input_that_retention_deleted_is_skipped(group: GroupUnderTest) -> None:
    counted(group)
    group.send()
    start = group.committed()[0][0] + 2
    admin = admin_of(group.env)
    (done,) = admin.delete_records([TopicPartition(group.topic("input"), 0, start)]).values()
    done.result(20)
    (refused,) = [each for each in shown(group, refused=1) if each["refused"]]
    assert f"--to {start}" in str(refused["fix"])
    assert f"--to {start}" in offsets(group, "resume", "--yes", status=1)
    offsets(group, "skip", "--partition", "0", "--to", str(start), "--yes")
    shown(group, refused=0)
    group.worker.start()
    group.wait_until_counted()
    group.stop()
    assert verified(group)["lost"] == 0


@pytest.mark.parametrize("role", ["result", "dead-letter"])
def test_lost_outcomes_are_accepted_only_on_request(group: GroupUnderTest, role: str) -> None:
    counted(group)
    recreate(group, role)
    shown(group, refused=2)
    assert "--accept-loss" in offsets(group, "resume", "--yes", status=1)
    offsets(group, "resume", "--accept-loss", "--yes")
    shown(group, refused=0)
    group.worker.start()
    group.wait_until_counted()
    group.stop()
    verdict = verified(group)
    assert verdict["lost"] == 0
    assert verdict["skipped"]


@pytest.mark.parametrize("role", ["input", "count"])
def test_recreated_input_and_totals_are_refused(group: GroupUnderTest, role: str) -> None:
    counted(group)
    before = group.committed()
    recreate(group, role)
    if role == "input":  # its offsets are deleted with it
        alter_offsets(group, {p: offset for p, (offset, _) in before.items()})
        group.send(["cat"] * 20)
    for args in (("resume", "--accept-loss"), ("skip", "--partition", "0", "--to", "end")):
        assert "start over under new names" in offsets(group, *args, "--yes", status=1)


def test_truncated_results_and_changelog_are_detected_without_the_committed_offset(
    group: GroupUnderTest,
) -> None:
    group.count_some()
    group.stop()
    truncate(group, "result", kafka_log.without_last_transaction)
    delete_offsets(group)
    assert "--accept-loss" in offsets(group, "resume", "--yes", status=1)
    truncate(group, "count", kafka_log.without_last_transaction)
    assert "start over under new names" in offsets(group, "resume", "--accept-loss", "--yes", status=1)


def test_input_that_was_truncated_and_has_grown_again_is_refused_as_by_the_worker(
    group: GroupUnderTest,
) -> None:
    group.count_some()
    group.stop()
    truncate(group, "input", kafka_log.first_half)
    group.send(["cat"] * 50)
    for command in (("offsets", "show"), ("offsets", "resume", "--yes"), ("topics", "check"), ("doctor",)):
        done = run(group.env, *command)
        assert done.returncode == 1
        assert "has grown again" in done.stdout + done.stderr


def test_another_dictionary_is_refused_everywhere(group: GroupUnderTest, tmp_path: Path) -> None:
    counted(group)
    (tmp_path / "words").write_text("cat\nact\n")
    env = {**group.env, "STREAM_DICTIONARY": str(tmp_path / "words")}
    for command in (("offsets", "resume", "--yes"), ("offsets", "show"), ("topics", "check"), ("doctor",)):
        done = run(env, *command)
        assert done.returncode == 1
        assert "another dictionary" in done.stdout + done.stderr


def test_group_with_members_is_refused(group: GroupUnderTest) -> None:
    group.count_some()
    shown(group, refused=0)
    for args in (("resume",), ("skip", "--partition", "0", "--to", "end")):
        text = offsets(group, *args, "--yes", status=1)
        assert "has 1 member, such as" in text
        assert "stop all its consumers" in text


@PROTOCOLS
@pytest.mark.parametrize("accident", ["join", "commit"])
def test_join_or_commit_in_the_meantime_aborts_the_transaction(
    group: GroupUnderTest, protocol: str, accident: str
) -> None:
    """Kafka itself would accept the transaction, because the members of the group are not part of it."""
    counted(group)
    before = group.committed()
    operation = OffsetsOperation(group.settings, admin_of(group.env), DIGEST)
    options = {
        "bootstrap.servers": group.env["STREAM_BOOTSTRAP_SERVERS"],
        "group.id": group.env["STREAM_GROUP_ID"],
        "group.protocol": protocol,
        "enable.auto.commit": False,
    }
    consumer = Consumer(options)

    def plan(states: Sequence[PartitionState]) -> list[Move]:
        facts, outcomes = states[0].facts, states[0].outcomes
        return [plan_skip(facts, outcomes, facts.end, accept_loss=False)]

    def disturbed(states: Sequence[PartitionState]) -> list[Move]:
        if accident == "join":
            consumer.subscribe([group.topic("input")])
            wait_until(lambda: consumer.poll(0.1) or consumer.assignment(), 30)
        else:
            commit_by_stranger(group, {0: 0})
        return plan(states)

    with pytest.raises(Refused, match=r"nothing was committed.*(member|another client)"):
        operation.write(plan(operation.read()), disturbed)
    consumer.close()
    expected = before if accident == "join" else {**before, 0: (0, "")}
    assert {p: (offset, metadata or "") for p, (offset, metadata) in group.committed().items()} == expected
    assert not [r for r in read(group.env, "dead-letter") if ("dead-letter.reason", b"skipped") in r.headers]


def reject_as_earlier_version(
    group: GroupUnderTest, partition: int, offset: int, dead_letter_partition: int | None = None
) -> None:
    """Produce a rejected blob and its dead letter, without a changelog record."""
    produce(group.env, [(None, b"\xff")], partition=partition)
    record = InputRecord(group.topic("input"), partition, offset, None, b"\xff")
    letter = to_dead_letter(
        record,
        Rejected(Reason.UNDECODABLE, "decode", "not UTF-8"),
        topic=group.topic("dead-letter"),
        group=group.env["STREAM_GROUP_ID"],
        failed_at="2026-01-01T00:00:00+00:00",
        bytes_max=1_000_000,
    )
    number = partition if dead_letter_partition is None else dead_letter_partition
    write(group, "dead-letter", number, letter.key, letter.value, letter.headers)


def write(  # noqa: PLR0913, PLR0917 - a record's parts
    group: GroupUnderTest,
    role: str,
    partition: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
) -> None:
    producer = Producer({"bootstrap.servers": group.env["STREAM_BOOTSTRAP_SERVERS"]})
    producer.produce(group.topic(role), value, key, partition, headers=list(headers))
    assert producer.flush(30) == 0


@pytest.mark.parametrize("is_deleted", [False, True], ids=["kept", "deleted"])
def test_offsets_of_an_earlier_version_get_evidence(group: GroupUnderTest, is_deleted: bool) -> None:  # noqa: FBT001
    """The earlier version wrote no changelog record for input without totals, and only a word as metadata."""
    group.send(["cat"], [0])
    group.worker.start()
    wait_until(lambda: group.committed().get(0, (0, ""))[0] == 1, 60)
    group.stop()
    write(group, "count", 0, b"act", b"1", ProcessedOffset(1, DIGEST).headers())
    for offset in (1, 2):
        reject_as_earlier_version(group, 0, offset)
    alter_offsets(group, {0: 3}, {0: COUNTED})
    if is_deleted:
        delete_offsets(group)
    else:
        assert shown(group, refused=1)[0]["written_by"] == "an earlier version"
    offsets(group, "resume", "--yes")
    offset, metadata = group.committed()[0]
    evidence = read_evidence(metadata)
    assert (offset, evidence and evidence.offset) == (3, 3)
    group.send()
    check_exact_after(group)


@pytest.mark.parametrize("is_deleted", [False, True], ids=["kept", "deleted"])
def test_dead_letters_from_before_the_topic_had_more_partitions_are_found(
    group: GroupUnderTest,
    is_deleted: bool,  # noqa: FBT001
) -> None:
    """Both versions counted in turn; the dead letters of input partition 1 are on partition 0."""
    admin, name = admin_of(group.env), group.topic("dead-letter")
    recreate(group, "dead-letter", partitions=1)
    group.send(["cat"], [1])
    group.worker.start()
    wait_until(lambda: group.committed().get(1, (0, ""))[0] == 1, 60)
    group.stop()
    for offset in (1, 2):
        reject_as_earlier_version(group, 1, offset, dead_letter_partition=0)
    alter_offsets(group, {1: 3}, {1: COUNTED})
    admin.create_partitions([NewPartitions(name, 2)])[name].result(20)
    if is_deleted:
        delete_offsets(group)
    assert shown(group, refused=1)[1]["last_dead_letter"] == 2
    offsets(group, "resume", "--yes")
    assert group.committed()[1][0] == 3
    group.send()
    check_exact_after(group)


def test_group_of_an_earlier_version_with_only_rejections_resumes_after_its_outcomes(
    group: GroupUnderTest,
) -> None:
    """Input offsets without a record, such as those of an aborted transaction, have no outcome."""
    reject_as_earlier_version(group, 0, 0)
    servers = group.env["STREAM_BOOTSTRAP_SERVERS"]
    producer = Producer({"bootstrap.servers": servers, "transactional.id": group.topic("input")})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(group.topic("input"), "cat", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    reject_as_earlier_version(group, 0, 3)
    commit_by_stranger(group, {0: 4})  # the earlier version wrote no metadata if there were no totals
    shown(group, refused=1)
    offsets(group, "resume", "--yes")
    assert group.committed()[0][0] == 4
    group.send()
    check_exact_after(group)
