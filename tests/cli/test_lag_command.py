"""`lag` on a real broker: what counts as lag and what does not."""

import json
import time

import pytest
from cli.running import Cli, Put, Spawn
from confluent_kafka import Consumer, Producer, TopicPartition

pytestmark = pytest.mark.broker


def commit(env: dict[str, str], partition: int, offset: int) -> None:
    consumer = Consumer(
        {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "group.id": env["STREAM_GROUP_ID"]}
    )
    position = TopicPartition(env["STREAM_INPUT_TOPIC"], partition, offset)
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()


def objects(cli: Cli, env: dict[str, str]) -> list[dict[str, object]]:
    done = cli("lag", "--format", "json", env=env)
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.lines]


def test_a_new_group_lags_by_the_whole_log(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    put(stream_env["STREAM_INPUT_TOPIC"], [(0, None, "cat", ()), (0, None, "cat", ())])
    done = cli("lag", env=stream_env)
    assert done.status == 0
    assert done.rows[0][:5] == ["partition", "current offset", "log end offset", "lag", "age"]
    assert done.rows[1][:4] == ["0", "-", "3", "3"], "two records and a marker: lag counts offsets"
    assert done.rows[2][:5] == ["1", "-", "0", "0", "-"]
    assert "no such group yet, lag 3" in done.err


def test_lag_is_0_if_only_markers_and_aborted_records_are_left(
    cli: Cli, stream_env: dict[str, str], put: Put
) -> None:
    topic = stream_env["STREAM_INPUT_TOPIC"]
    put(topic, [(0, None, "cat", ()), (1, None, "cat", ())])
    put(topic, [(0, None, "aborted", ())], abort=True)
    commit(stream_env, 0, 1)
    commit(stream_env, 1, 0)
    first, second = objects(cli, stream_env)
    assert (first["current_offset"], first["log_end_offset"], first["lag"]) == (1, 4, 0)
    assert (second["current_offset"], second["lag"]) == (0, 2)
    assert first["age_seconds"] is None
    assert isinstance(second["age_seconds"], float)
    assert second["age_seconds"] < 60


def test_records_of_an_open_transaction_are_not_lag(cli: Cli, stream_env: dict[str, str]) -> None:
    topic = stream_env["STREAM_INPUT_TOPIC"]
    servers = stream_env["STREAM_BOOTSTRAP_SERVERS"]
    producer = Producer({"bootstrap.servers": servers, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, "cat", partition=0)
    producer.flush(30)
    (first, _) = objects(cli, stream_env)
    assert (first["log_end_offset"], first["high_watermark"], first["lag"]) == (0, 1, 0)
    producer.commit_transaction(30)
    (first, _) = objects(cli, stream_env)
    assert (first["log_end_offset"], first["lag"]) == (2, 2)


def test_followed_lag_is_refreshed_until_ctrl_c(spawn: Spawn, stream_env: dict[str, str], put: Put) -> None:
    process = spawn("lag", "--follow", "--interval", "0.2", "--format", "json", env=stream_env)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["lag"] == 0
    put(stream_env["STREAM_INPUT_TOPIC"], [(0, None, "cat", ())])
    deadline = time.monotonic() + 20
    while json.loads(process.stdout.readline())["lag"] != 2:
        assert time.monotonic() < deadline
    process.send_signal(2)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in errors


def test_missing_topic_is_one_error_with_a_hint(cli: Cli, bare_env: dict[str, str]) -> None:
    done = cli("lag", env=bare_env)
    assert done.status == 1
    assert "anagram-stream topics create" in done.err
