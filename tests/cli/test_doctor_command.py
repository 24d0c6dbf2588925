"""`doctor` finds each precondition that a test breaks, and the command that fixes it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cli.running import Cli
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]
from support.topics import admin_of, produce, settings_of, wait_until

from stream.kafka import topics

pytestmark = pytest.mark.broker


def examined(cli: Cli, env: dict[str, str], status: int) -> dict[str, list[dict[str, Any]]]:
    done = cli("doctor", "--format", "json", env=env)
    report = json.loads(done.out)
    assert done.status == status, report
    assert report["ok"] == (status == 0)
    by_check: dict[str, list[dict[str, Any]]] = {}
    for finding in report["findings"]:
        by_check.setdefault(finding["check"], []).append(finding)
    return by_check


def test_nothing_fails_if_a_worker_can_start(cli: Cli, stream_env: dict[str, str]) -> None:
    by_check = examined(cli, stream_env, 0)
    levels = {finding["level"] for findings in by_check.values() for finding in findings}
    assert levels <= {"ok", "warning"}, by_check
    assert "0 of 2 partitions" in by_check["committed offsets"][0]["found"]
    assert by_check["transactions"][0]["level"] == "ok"
    done = cli("doctor", env=stream_env)
    assert done.status == 0
    assert "0 failed" in done.err


def test_no_broker_is_one_failure_and_the_rest_is_skipped(cli: Cli, bare_env: dict[str, str]) -> None:
    by_check = examined(cli, {**bare_env, "STREAM_BOOTSTRAP_SERVERS": "localhost:1"}, 1)
    assert by_check["reach"][0]["level"] == "failed"
    assert "anagram-stream broker" in by_check["reach"][0]["fix"]
    assert by_check["group"][0]["level"] == "skipped"
    assert by_check["dictionary"][0]["level"] == "ok", "the machine is checked even without a broker"


def test_all_missing_topics_are_named(cli: Cli, bare_env: dict[str, str]) -> None:
    by_check = examined(cli, bare_env, 1)
    for role in ("INPUT", "RESULT", "COUNT", "DEAD_LETTER"):
        (missing,) = by_check[f"topic {bare_env[f'STREAM_{role}_TOPIC']}"]
        assert (missing["level"], missing["fix"]) == ("failed", "anagram-stream topics create")


def test_wrong_topic_configurations_are_found(cli: Cli, bare_env: dict[str, str]) -> None:
    count, result = bare_env["STREAM_COUNT_TOPIC"], bare_env["STREAM_RESULT_TOPIC"]
    wrong = [
        NewTopic(bare_env["STREAM_INPUT_TOPIC"], 3, 1),
        NewTopic(result, 3, 1, config={"unclean.leader.election.enable": "true"}),
        NewTopic(count, 2, 1, config={"cleanup.policy": "delete"}),
        NewTopic(bare_env["STREAM_DEAD_LETTER_TOPIC"], 1, 1, config={"max.message.bytes": "1000"}),
    ]
    admin = admin_of(bare_env)
    for future in admin.create_topics(wrong).values():
        future.result(30)
    wait_until(lambda: len(topics.describe(admin, settings_of(bare_env))) == len(wrong), 20)
    by_check = examined(cli, bare_env, 1)
    messages = " | ".join(finding["found"] for finding in by_check[f"topic {count}"])
    assert "2 partitions, the input has 3" in messages
    assert "cleanup.policy=delete: totals must stay forever" in messages
    assert "segment.bytes" in messages
    assert any("unclean" in finding["found"] for finding in by_check[f"topic {result}"])
    letters = by_check[f"topic {bare_env['STREAM_DEAD_LETTER_TOPIC']}"]
    assert {finding["fix"] for finding in letters} == {"anagram-stream topics create --repair"}


def test_committed_offsets_that_retention_deleted_are_found(cli: Cli, stream_env: dict[str, str]) -> None:
    produce(stream_env, [(None, "cat")] * 5, partition=0)
    topic = stream_env["STREAM_INPUT_TOPIC"]
    servers, group = stream_env["STREAM_BOOTSTRAP_SERVERS"], stream_env["STREAM_GROUP_ID"]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    consumer.close()
    admin = admin_of(stream_env)
    next(iter(admin.delete_records([TopicPartition(topic, 0, 4)]).values())).result(30)
    (finding,) = examined(cli, stream_env, 1)["committed offsets"]
    assert "committed 2, the log begins at 4: retention deleted 2 uncounted offsets" in finding["found"]
    assert f"--topic {topic}:0 --reset-offsets --to-earliest" in finding["fix"]


def test_settings_that_the_brokers_refuse_are_found(
    cli: Cli, stream_env: dict[str, str], tmp_path: Path
) -> None:
    options = tmp_path / "kafka.properties"
    options.write_text("session.timeout.ms=1800001\n")
    env = {**stream_env, "STREAM_GROUP_PROTOCOL": "classic", "STREAM_KAFKA_CONFIG": str(options)}
    (session,) = examined(cli, env, 1)["session"]
    assert session["level"] == "failed"
    assert "session.timeout.ms" in session["fix"]


def test_an_unusable_folder_and_dictionary_are_found(
    cli: Cli, stream_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    env = {
        **stream_env,
        "STREAM_STATE_DIR": str(tmp_path / "file"),
        "STREAM_DICTIONARY": str(tmp_path / "none.txt"),
    }
    by_check = examined(cli, env, 1)
    assert "STREAM_STATE_DIR" in by_check["state folder"][0]["fix"]
    assert "none.txt" in by_check["dictionary"][0]["found"]
    assert by_check["dictionary"][0]["fix"]


def test_records_from_the_future_reveal_a_wrong_clock(cli: Cli, stream_env: dict[str, str]) -> None:
    producer = Producer({"bootstrap.servers": stream_env["STREAM_BOOTSTRAP_SERVERS"]})
    producer.produce(stream_env["STREAM_INPUT_TOPIC"], "cat", timestamp=int((time.time() + 60) * 1000))
    producer.flush(30)
    (clock,) = examined(cli, stream_env, 0)["clock"]
    assert clock["level"] == "warning"
    assert "s ahead of this machine" in clock["found"]
