"""`verify`: its output and its exit status."""

import json
import re
import signal
from typing import Any
from urllib.request import urlopen

import pytest
from cli.running import Cli, Put, Spawn
from confluent_kafka import Consumer, TopicPartition

pytestmark = pytest.mark.broker


def forged(topic: str, offset: int) -> Any:
    source = {"topic": topic, "partition": 0, "offset": offset}
    body = {"blob_id": "a", "anagram_counts": {"cat": 1}, "words": 1, "source": source}
    return 0, "a", json.dumps(body), ()


def test_empty_input_is_exactly_once(cli: Cli, stream_env: dict[str, str]) -> None:
    done = cli("verify", env=stream_env)
    assert done.status == 0
    assert "exactly once: 0 input records, no differences" in done.out


def test_uncommitted_input_is_not_a_difference(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    put(stream_env["STREAM_INPUT_TOPIC"], [(0, "a", "cat", ())])
    assert cli("verify", env=stream_env).status == 0


def test_result_without_input_is_a_difference(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    put(stream_env["STREAM_RESULT_TOPIC"], [forged(stream_env["STREAM_INPUT_TOPIC"], 7)])
    done = cli("verify", "--format", "json", env=stream_env)
    report = json.loads(done.out)
    assert (done.status, report["holds"], report["unknown"]) == (1, False, 1)
    assert "0:7" in report["differences"][0]
    done = cli("verify", "--differences", "0", env=stream_env)
    assert done.status == 1
    assert "1 difference" in done.out


def test_aborted_records_are_ignored(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    put(stream_env["STREAM_RESULT_TOPIC"], [forged(stream_env["STREAM_INPUT_TOPIC"], 7)], abort=True)
    assert cli("verify", env=stream_env).status == 0


def test_total_without_input_is_a_difference(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    put(stream_env["STREAM_COUNT_TOPIC"], [(1, b"act", b"3", ())])
    done = cli("verify", env=stream_env)
    assert done.status == 1
    assert "the total of act on partition 1 is 3, the input gives 0, +3" in done.out


def test_result_without_its_totals_is_a_difference(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    topic = stream_env["STREAM_INPUT_TOPIC"]
    put(topic, [(0, "a", "cat", ())])
    body = {
        "blob_id": "a",
        "anagram_counts": {"act": 1, "cat": 1},
        "words": 1,
        "source": {"topic": topic, "partition": 0, "offset": 0},
    }
    put(stream_env["STREAM_RESULT_TOPIC"], [(0, "a", json.dumps(body), ())])
    group = {
        "bootstrap.servers": stream_env["STREAM_BOOTSTRAP_SERVERS"],
        "group.id": stream_env["STREAM_GROUP_ID"],
    }
    consumer = Consumer(group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    consumer.close()
    done = cli("verify", env=stream_env)
    assert done.status == 1
    assert "the total of act on partition 0 is 0, the input gives 1, -1" in done.out
    put(stream_env["STREAM_COUNT_TOPIC"], [(0, b"act", b"1", ())])
    assert cli("verify", env=stream_env).status == 0


def test_dead_letters_of_another_group_are_ignored(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    def letter(group: str) -> Any:
        named = {
            "__streams.errors.topic": stream_env["STREAM_INPUT_TOPIC"],
            "__streams.errors.partition": "0",
            "__streams.errors.offset": "7",
            "dead-letter.group": group,
            "dead-letter.reason": "undecodable",
        }
        return 0, b"a", b"\xff", [(name, value.encode()) for name, value in named.items()]

    put(stream_env["STREAM_DEAD_LETTER_TOPIC"], [letter("another")])
    assert cli("verify", env=stream_env).status == 0
    put(stream_env["STREAM_DEAD_LETTER_TOPIC"], [letter(stream_env["STREAM_GROUP_ID"])])
    assert cli("verify", env=stream_env).status == 1


def test_totals_of_another_dictionary_are_refused(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    processed_offset = (("input-next-offset", b"1"), ("dictionary", b"another"))
    put(stream_env["STREAM_COUNT_TOPIC"], [(0, b"act", b"3", processed_offset)])
    done = cli("verify", env=stream_env)
    assert done.status == 1
    assert "another dictionary" in done.err
    assert "STREAM_DICTIONARY" in done.err


@pytest.mark.parametrize("arguments", [(), ("--follow",)])
def test_missing_topics_are_one_error(arguments: tuple[str, ...], cli: Cli, bare_env: dict[str, str]) -> None:
    done = cli("verify", *arguments, env=bare_env)
    assert done.status == 1
    assert "anagram-stream topics create" in done.err


def test_missing_folder_is_one_error(cli: Cli, stream_env: dict[str, str]) -> None:
    done = cli("verify", "--state-dir", "nowhere", env=stream_env)
    assert done.status == 1
    assert "the folder nowhere does not exist" in done.err


def test_follow_exports_the_differences(spawn: Spawn, stream_env: dict[str, str], put: Put) -> None:
    put(stream_env["STREAM_RESULT_TOPIC"], [forged(stream_env["STREAM_INPUT_TOPIC"], 7)])
    process = spawn("verify", "--follow", "--interval", "1", env={**stream_env, "STREAM_LOG_FORMAT": "json"})
    assert process.stdout is not None
    assert process.stderr is not None
    address = ""
    for line in process.stderr:
        entry = json.loads(line)
        address = entry.get("address", address)
        if entry["event"] == "audited":
            break
    metrics = urlopen(f"{address}/metrics", timeout=5).read().decode()
    assert 'stream_audit_differences{kind="unknown"} 1.0' in metrics
    assert 'stream_audit_differences{kind="lost"} 0.0' in metrics
    assert re.search(r"stream_audit_last_round_timestamp_seconds [1-9]", metrics)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 1
    assert b"1 difference" in process.stdout.read()
