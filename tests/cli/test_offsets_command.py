"""`offsets show`, `resume` and `skip` on a group that no worker has used yet."""

import json

import pytest
from cli.running import Cli
from confluent_kafka import Consumer, Producer, TopicPartition
from support.topics import produce

from stream.tools.offsets.operation import OffsetsOperation

pytestmark = pytest.mark.broker


def commit(env: dict[str, str], offset: int, metadata: str = "") -> None:
    """Commit an offset of partition 0 as a client other than a worker."""
    servers, group = env["STREAM_BOOTSTRAP_SERVERS"], env["STREAM_GROUP_ID"]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group})
    position = TopicPartition(env["STREAM_INPUT_TOPIC"], 0, offset, metadata=metadata)
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()


def test_new_group_is_accepted_and_needs_no_change(cli: Cli, stream_env: dict[str, str]) -> None:
    shown = cli("offsets", "show", env=stream_env)
    assert shown.status == 0
    assert [row[0] for row in shown.rows] == ["partition", "0", "1"]
    assert {row[-1] for row in shown.rows[1:]} == {"ok"}
    assert "nothing to do" in cli("offsets", "resume", "--yes", env=stream_env).out


def test_another_client_and_its_metadata_are_named(cli: Cli, stream_env: dict[str, str]) -> None:
    produce(stream_env, [(None, "cat")] * 5, partition=0)
    commit(stream_env, 4, "me")
    shown = cli("offsets", "show", env=stream_env)
    assert shown.status == 1
    assert shown.rows[1][:4] == ["0", "4", "another client: me", "-"]
    assert shown.rows[1][-1].startswith("refused: the committed offset 4 was not written by this application")
    assert "anagram-stream offsets resume" in shown.err
    report = json.loads(cli("offsets", "show", "--format", "json", env=stream_env).out)
    assert (report["refused"], report["partitions"][1]["refused"]) == (1, None)
    first = report["partitions"][0]
    assert (first["committed_offset"], first["metadata"], first["log_end"]) == (4, "me", 5)
    assert "offsets resume" in first["fix"]


def test_nothing_changes_without_yes(cli: Cli, stream_env: dict[str, str]) -> None:
    produce(stream_env, [(None, "cat")] * 5, partition=0)
    commit(stream_env, 4)
    for args in (("resume",), ("skip", "--partition", "0", "--to", "4")):
        planned = cli("offsets", *args, env=stream_env)
        assert planned.status == 1
        assert planned.rows[0] == ["partition", "from", "to", "why", "lost"]
        assert "--yes" in planned.err
    assert cli("offsets", "show", env=stream_env).rows[1][1] == "4"
    skipped = cli("offsets", "skip", "--partition", "0", "--to", "4", "--yes", env=stream_env)
    assert skipped.status == 0
    assert skipped.rows[1][-1] == "input at offsets 0 to 3 is not counted (4 offsets)"
    shown = cli("offsets", "show", env=stream_env)
    assert shown.status == 0
    assert shown.rows[1][:4] == ["0", "4", "this application", "4"]
    (letter,) = cli("dead-letters", "list", env=stream_env).rows[1:]
    assert "skipped" in letter


def test_input_is_skipped_to_the_end_that_was_shown_while_more_is_produced(
    cli: Cli, stream_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_unused = OffsetsOperation.check_unused

    def check_and_produce(operation: OffsetsOperation) -> None:
        produce(stream_env, [(None, "cat")], partition=0)
        check_unused(operation)

    produce(stream_env, [(None, "cat")] * 5, partition=0)
    monkeypatch.setattr(OffsetsOperation, "check_unused", check_and_produce)
    skipped = cli("offsets", "skip", "--partition", "0", "--to", "end", "--yes", env=stream_env)
    assert skipped.status == 0, skipped.err
    assert skipped.rows[1][-1] == "input at offsets 0 to 5 is not counted (6 offsets)"
    assert cli("offsets", "show", env=stream_env).rows[1][1] == "6"


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (("skip", "--partition", "0", "--to", "soon"), 2, "neither an offset nor `end`"),
        (("skip", "--partition", "9", "--to", "end"), 2, "its partitions are 0 to 1"),
        (("resume", "--partition", "9"), 2, "its partitions are 0 to 1"),
        (("skip", "--partition", "0", "--to", "end"), 1, "nothing to skip"),
        (("skip", "--partition", "0", "--to", "7"), 1, "not in the log"),
    ],
)
def test_partition_or_offset_that_does_not_exist_is_refused(
    cli: Cli, stream_env: dict[str, str], args: tuple[str, ...], status: int, message: str
) -> None:
    done = cli("offsets", *args, "--yes", env=stream_env)
    assert done.status == status
    assert message in done.err


def test_wait_for_an_open_transaction_is_limited(
    cli: Cli, stream_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.tools.offsets.facts.ABORT_S_MAX", -3.0)
    count = stream_env["STREAM_COUNT_TOPIC"]
    producer = Producer(
        {"bootstrap.servers": stream_env["STREAM_BOOTSTRAP_SERVERS"], "transactional.id": count}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(count, "1", "act", partition=0)
    assert producer.flush(30) == 0
    shown = cli("offsets", "show", env=stream_env)
    assert shown.status == 1
    assert f"a transaction is open in {count}, partition 0" in shown.err
    producer.abort_transaction(30)
    assert cli("offsets", "show", env=stream_env).status == 0


def test_brokers_without_an_authorizer_have_nothing_to_grant(cli: Cli, stream_env: dict[str, str]) -> None:
    shown = cli("topics", "acls", env=stream_env)
    assert shown.rows[0] == ["resource", "name", "pattern", "operations"]
    assert ["group", stream_env["STREAM_GROUP_ID"], "literal", "Read"] in shown.rows
    granted = cli("topics", "acls", "--grant", env=stream_env)
    assert granted.status == 1
    assert "the brokers have no authorizer" in granted.err
