"""`dead-letters replay`, `export` and `import` with records as a worker writes them."""

import json
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cli.running import Cli, Put
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from support.topics import admin_of, produce, read, settings_of

from stream.core.dead_letter import to_dead_letter
from stream.core.records import Header, InputRecord, OutputRecord
from stream.errors import Reason, Refused, Rejected
from stream.kafka import topics as kafka_topics
from stream.tools.child_environment import environment_without_settings
from stream.tools.dead_letters.transactions import Replayed, ReplayTransactions
from stream.tools.kafka.topic_reader import StoredRecord

pytestmark = pytest.mark.broker
TIMESTAMP_MS = int(time.time() - 3_600) * 1000


def letter(  # noqa: PLR0913 - the fields of a dead letter
    env: dict[str, str],
    offset: int,
    value: bytes | None = b"cat",
    reason: Reason = Reason.BAD_JSON,
    *,
    headers: tuple[Header, ...] = (("trace", b"\xff"),),
    bytes_max: int = 10**6,
    group: str | None = None,
) -> Any:
    record = InputRecord(env["STREAM_INPUT_TOPIC"], 1, offset, b"k%d" % offset, value, headers, TIMESTAMP_MS)
    dead_letter = to_dead_letter(
        record,
        Rejected(reason, "decode", "detail"),
        topic="d",
        group=group or env["STREAM_GROUP_ID"],
        failed_at="2026-01-02T03:04:05.678+00:00",
        bytes_max=bytes_max,
    )
    noted = ("dead-letter.timestamp-ms", b"%d" % TIMESTAMP_MS)
    return dead_letter.partition, dead_letter.key, dead_letter.value, [*dead_letter.headers, noted]


@pytest.fixture
def rejected(stream_env: dict[str, str], put: Put) -> dict[str, str]:
    """Dead letters 1:0 to 1:3 of this group, one of another group, and a foreign record."""
    letters = [
        letter(stream_env, 0),
        letter(stream_env, 1, b"\xff", Reason.UNDECODABLE),
        letter(stream_env, 2, b"dog"),
        letter(stream_env, 3, None, Reason.NULL_VALUE),
        letter(stream_env, 4, group="another"),
        (1, None, b"foreign", ()),
    ]
    put(stream_env["STREAM_DEAD_LETTER_TOPIC"], letters)
    return stream_env


def sent(env: dict[str, str]) -> list[StoredRecord]:
    return [record for record in read(env, "input") if "dead-letter.replays" in dict(record.headers)]


def keys(env: dict[str, str]) -> list[bytes]:
    return sorted(record.key for record in sent(env) if record.key)


def test_replay_sends_the_selected_records_as_they_were_and_the_others_later(
    cli: Cli, rejected: dict[str, str]
) -> None:
    done = cli("dead-letters", "replay", "--reason", "bad-json", "--yes", env=rejected)
    assert (done.status, done.err) == (0, "2 dead letters sent: 2 bad-json\n")
    first, second = sent(rejected)
    assert (first.partition, first.key, first.value, first.timestamp_ms) == (1, b"k0", b"cat", TIMESTAMP_MS)
    assert first.headers == [("trace", b"\xff"), ("dead-letter.replays", b"1")]
    assert second.key == b"k2"
    again = cli("dead-letters", "replay", "--reason", "bad-json", "--yes", env=rejected).err
    assert again == "0 dead letters sent\n1 dead letter from other groups or input topics\n"
    rest = cli("dead-letters", "replay", "--yes", "--format", "json", env=rejected)
    assert json.loads(rest.out) == {"sent": {"undecodable": 1, "null-value": 1}, "left_out": []}
    assert keys(rejected) == [b"k0", b"k1", b"k2", b"k3"]
    assert {r.value for r in sent(rejected)} == {b"cat", b"\xff", b"dog", None}
    assert cli("dead-letters", "replay", "--yes", env=rejected).err.startswith("0 dead letters sent\n")


def test_dry_run_and_a_pipe_send_nothing(cli: Cli, rejected: dict[str, str]) -> None:
    dry = cli("dead-letters", "replay", "--dry-run", env=rejected)
    assert dry.status == 0
    assert sorted(dry.rows[1:]) == [["1", "null-value"], ["1", "undecodable"], ["2", "bad-json"]]
    piped = cli("dead-letters", "replay", env=rejected)
    assert piped.status == 1
    assert "fix: run the command again with --yes" in piped.err
    assert sent(rejected) == []
    as_json = cli("dead-letters", "replay", "--dry-run", "--max", "2", "--format", "json", env=rejected)
    assert sum(json.loads(as_json.out)["to_send"].values()) == 2


def test_max_bounds_a_replay_and_the_next_one_continues(cli: Cli, rejected: dict[str, str]) -> None:
    for number in (3, 1, 0):
        done = cli("dead-letters", "replay", "--max", "3", "--rate", "1000", "--yes", env=rejected)
        assert done.err.startswith(f"{number} dead letter")
    assert len(keys(rejected)) == 4


def test_record_that_was_replayed_too_often_is_left_out(
    cli: Cli, stream_env: dict[str, str], put: Put
) -> None:
    replayed = (("dead-letter.replays", b"3"),)
    letters = [letter(stream_env, 0, headers=replayed), letter(stream_env, 1)]
    put(stream_env["STREAM_DEAD_LETTER_TOPIC"], letters)
    done = cli("dead-letters", "replay", "--yes", env=stream_env)
    assert done.status == 1
    assert "1 dead letter sent" in done.err
    assert "left out: 1 (for example 1:0): already replayed as often as --replays-max allows" in done.err
    assert cli("dead-letters", "replay", "--yes", "--replays-max", "4", env=stream_env).status == 0
    assert dict(sent(stream_env)[1].headers)["dead-letter.replays"] == b"4"


def test_value_that_did_not_fit_is_read_from_the_input_topic(
    cli: Cli, stream_env: dict[str, str], put: Put
) -> None:
    values = [b"a" * 900, b"b" * 900, b"c" * 900]
    produce(stream_env, [(b"key", value) for value in values], partition=1, headers=[("h", b"x")])
    letters = [letter(stream_env, offset, value, bytes_max=800) for offset, value in enumerate(values)]
    letters += [
        letter(stream_env, 1, b"x" * 901, bytes_max=800),
        letter(stream_env, 99, b"x" * 900, bytes_max=800),
    ]
    put(stream_env["STREAM_DEAD_LETTER_TOPIC"], letters)
    admin = admin_of(stream_env)
    for future in admin.delete_records([TopicPartition(stream_env["STREAM_INPUT_TOPIC"], 1, 1)]).values():
        future.result(30)
    done = cli("dead-letters", "replay", "--yes", "--format", "json", env=stream_env)
    assert done.status == 1
    report = json.loads(done.out)
    assert [(each["number"], each["example"]) for each in report["left_out"]] == [(2, "1:0"), (1, "1:3")]
    assert [record.value for record in sent(stream_env)] == values[1:]
    assert sent(stream_env)[0].headers == [("h", b"x"), ("dead-letter.replays", b"1")]


def test_offset_that_somebody_moved_ahead_hides_no_dead_letter(cli: Cli, rejected: dict[str, str]) -> None:
    topic, group = rejected["STREAM_DEAD_LETTER_TOPIC"], f"{rejected['STREAM_GROUP_ID']}-replay"
    request = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 1, 6)])
    admin = admin_of(rejected)
    for future in admin.alter_consumer_group_offsets([request]).values():
        future.result(30)
    assert cli("dead-letters", "replay", "--yes", env=rejected).err.startswith("4 dead letters sent")


def test_second_replay_stops_the_first(rejected: dict[str, str]) -> None:
    settings, admin = settings_of(rejected), admin_of(rejected)
    topics = kafka_topics.check(admin, settings)
    with (
        ReplayTransactions(settings, admin, topics) as first,
        ReplayTransactions(settings, admin, topics) as second,
    ):
        first.open()
        second.open()
        record = OutputRecord(settings.input_topic, 1, b"k0", b"cat")
        with pytest.raises(Refused, match="another replay"):
            first.send([Replayed(1, 0, "bad-json", record)], {1: 1})
        second.send([Replayed(1, 0, "bad-json", record)], {1: 1})
    assert len(read(rejected, "input")) == 1


def test_exported_dead_letters_are_repaired_and_imported_once(
    cli: Cli, rejected: dict[str, str], tmp_path: Path
) -> None:
    exported = cli("dead-letters", "export", "--reason", "bad-json", "--reason", "undecodable", env=rejected)
    assert exported.err == "3 dead letters exported\n"
    lines = [json.loads(line) for line in exported.lines]
    assert lines[0]["headers"] == [{"name": "trace", "value_base64": "/w=="}]
    assert lines[1].pop("value_base64") == "/w=="
    lines[1]["value"] = "répaired"
    file = tmp_path / "letters.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", encoding="utf-8")
    assert cli("dead-letters", "import", str(file), env=rejected).status == 1
    assert sent(rejected) == []
    done = cli("dead-letters", "import", str(file), "--yes", env=rejected)
    assert (done.status, done.err) == (0, "3 dead letters sent: 2 bad-json, 1 undecodable\n")
    assert [(r.key, r.value) for r in sent(rejected)] == [
        (b"k0", b"cat"),
        (b"k1", "répaired".encode()),
        (b"k2", b"dog"),
    ]
    typed = file.read_bytes()
    again = cli("dead-letters", "import", "-", "--dry-run", env=rejected, typed=typed)
    assert again.err == "3 dead letters already replayed\nnothing to send\n"
    assert cli("dead-letters", "replay", "--yes", env=rejected).err == "1 dead letter sent: 1 null-value\n"
    assert len(sent(rejected)) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"valeu": "x"}, "valeu"),
        ({"dead_letter": {"topic_id": "x", "partition": 1, "offset": 1}}, "is from another topic"),
        ({"input": {"topic": "x", "partition": 1, "offset": 0}}, "its record is from the topic x"),
        ("another letter", "has no dead letter of"),
        ("beyond the end", "has no dead letter of"),
    ],
)
def test_file_with_a_wrong_line_sends_nothing(
    cli: Cli, rejected: dict[str, str], tmp_path: Path, change: dict[str, Any] | str, says: str
) -> None:
    lines = cli("dead-letters", "export", env=rejected).lines
    file = tmp_path / "letters.jsonl"
    line = json.loads(lines[1])
    if isinstance(change, str):
        line["dead_letter"]["offset"] = 2 if change == "another letter" else 10_000
    else:
        line |= change
    file.write_text("\n".join([lines[0], json.dumps(line)]), encoding="utf-8")
    done = cli("dead-letters", "import", str(file), "--yes", env=rejected)
    assert done.status == 2
    assert "letters.jsonl:2" in done.err
    assert says in done.err
    file.write_text("\n".join([lines[0], lines[0]]), encoding="utf-8")
    assert "repeats the dead letter of line 1" in cli("dead-letters", "import", str(file), env=rejected).err
    assert cli("dead-letters", "import", str(tmp_path / "none"), env=rejected).status == 2
    assert sent(rejected) == []


def test_dead_letter_of_another_group_is_not_imported(
    cli: Cli, rejected: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "letters.jsonl"
    file.write_text("\n".join(cli("dead-letters", "export", env=rejected).lines), encoding="utf-8")
    group = rejected["STREAM_GROUP_ID"]
    done = cli("dead-letters", "import", str(file), "--yes", env={**rejected, "STREAM_GROUP_ID": "another"})
    assert done.status == 2
    assert f"fix: set STREAM_GROUP_ID={group}" in done.err
    assert sent(rejected) == []


def test_pipe_is_imported(cli: Cli, rejected: dict[str, str], tmp_path: Path) -> None:
    lines = "\n".join(cli("dead-letters", "export", env=rejected).lines).encode()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(lines,))
    writer.start()
    assert cli("dead-letters", "import", str(pipe), "--yes", env=rejected).err.startswith(
        "4 dead letters sent"
    )
    writer.join()


def test_incomplete_line_is_imported_only_after_its_repair(
    cli: Cli, stream_env: dict[str, str], put: Put, tmp_path: Path
) -> None:
    put(stream_env["STREAM_DEAD_LETTER_TOPIC"], [letter(stream_env, 5, b"x" * 900, bytes_max=800)])
    exported = cli("dead-letters", "export", env=stream_env)
    assert exported.err == "1 dead letter exported, 1 of them with the field left_out\n"
    line = json.loads(exported.out)
    file = tmp_path / "letters.jsonl"
    file.write_text(json.dumps(line), encoding="utf-8")
    done = cli("dead-letters", "import", str(file), "--yes", env=stream_env)
    assert done.status == 1
    assert "still has the field `left_out`" in done.err
    del line["left_out"]
    file.write_text(json.dumps({**line, "value": "cat"}), encoding="utf-8")
    assert cli("dead-letters", "import", str(file), "--yes", env=stream_env).status == 0
    assert [record.value for record in sent(stream_env)] == [b"cat"]


def test_summary_counts_by_kind(cli: Cli, rejected: dict[str, str]) -> None:
    cli("dead-letters", "replay", "--reason", "undecodable", "--yes", env=rejected)
    done = cli("dead-letters", "summary", env=rejected)
    rows = [(row[0], row[3], row[4], row[7]) for row in done.rows[1:]]
    assert rows == [
        ("bad-json", "3", "0", "1:4"),
        ("null-value", "1", "0", "1:3"),
        ("undecodable", "1", "1", "1:1"),
    ]
    assert done.err == "5 dead letters of 3 kinds\n"
    fingerprint = done.rows[1][2]
    as_json = cli("dead-letters", "summary", "--fingerprint", fingerprint, "--format", "json", env=rejected)
    (kind,) = json.loads(as_json.out)["kinds"]
    assert (kind["reason"], kind["number"], kind["last_ms"]) == ("bad-json", 3, 1767323045678)


@pytest.mark.parametrize(
    "wrong", [("--since", "yesterday"), ("--header", "x"), ("--rate", "0"), ("--until", "2026-13-01")]
)
def test_wrong_option_is_named(cli: Cli, stream_env: dict[str, str], wrong: tuple[str, str]) -> None:
    done = cli("dead-letters", "replay", *wrong, env=stream_env)
    assert done.status == 2
    assert wrong[0] in done.err
    assert "fix:" in done.err


@pytest.mark.parametrize(("answer", "status", "number"), [(b"n\n", 1, 0), (b"y\n", 0, 4)])
def test_user_at_a_terminal_is_asked_before_anything_is_sent(
    rejected: dict[str, str], answer: bytes, status: int, number: int
) -> None:
    ours, theirs = pty.openpty()
    env = {**environment_without_settings(), **rejected, "COLUMNS": "100", "TERM": "xterm"}
    command = [sys.executable, "-m", "stream", "dead-letters", "replay"]
    process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 4_096)
    assert f"Send 4 dead letters to {rejected['STREAM_INPUT_TOPIC']}?".encode() in shown
    assert sent(rejected) == []
    os.write(ours, answer)
    assert process.wait(60) == status
    os.close(ours)
    assert len(sent(rejected)) == number
