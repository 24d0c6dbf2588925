"""`doctor` reports each precondition that a test breaks, and the command that fixes it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cli.running import Cli
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
)
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
    assert "cleanup.policy=delete: totals must be kept forever" in messages
    assert "segment.bytes" in messages
    assert any("unclean" in finding["found"] for finding in by_check[f"topic {result}"])
    letters = by_check[f"topic {bare_env['STREAM_DEAD_LETTER_TOPIC']}"]
    assert {finding["fix"] for finding in letters} == {"anagram-stream topics create --repair"}


def commit(env: dict[str, str], offset: int) -> None:
    """Commit an offset of partition 0 as a client other than a worker."""
    consumer = Consumer(
        {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "group.id": env["STREAM_GROUP_ID"]}
    )
    consumer.commit(offsets=[TopicPartition(env["STREAM_INPUT_TOPIC"], 0, offset)], asynchronous=False)
    consumer.close()


def test_offsets_that_a_worker_refuses_fail_every_check(cli: Cli, stream_env: dict[str, str]) -> None:
    produce(stream_env, [(None, "cat")] * 5, partition=0)
    assert cli("topics", "check", env=stream_env).status == 0
    commit(stream_env, 2)
    (finding,) = examined(cli, stream_env, 1)["committed offsets"]
    message = "the committed offset 2 was not written by this application"
    assert message in finding["found"]
    assert "anagram-stream offsets resume" in finding["fix"]
    checked = cli("topics", "check", env=stream_env)
    assert checked.status == 1
    assert message in checked.err
    created = cli("topics", "create", env=stream_env)
    assert created.status == 0
    assert (
        f"warning: a worker refuses {stream_env['STREAM_INPUT_TOPIC']}, partition 0: {message}" in created.out
    )
    assert cli("offsets", "show", env=stream_env).status == 1


def test_dead_letter_topic_that_rejects_wrong_timestamps_is_a_warning_everywhere(
    cli: Cli, stream_env: dict[str, str]
) -> None:
    admin, topic = admin_of(stream_env), stream_env["STREAM_DEAD_LETTER_TOPIC"]
    entry = ConfigEntry(
        "message.timestamp.after.max.ms", "3600000", incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)
    problem = "message.timestamp.after.max.ms=3600000: the dead letter of a record with a wrong timestamp"
    wait_until(lambda: problem in cli("topics", "check", env=stream_env).out, 20)
    (finding,) = examined(cli, stream_env, 0)[f"topic {topic}"]
    assert finding["level"] == "warning"
    assert problem in finding["found"]
    assert finding["fix"] == "anagram-stream topics create --repair"
    assert problem in cli("topics", "create", env=stream_env).out
    repaired = cli("topics", "create", "--repair", env=stream_env).out
    assert "set message.timestamp.after.max.ms=" in repaired
    wait_until(lambda: "warning" not in cli("topics", "check", env=stream_env).out, 20)


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
