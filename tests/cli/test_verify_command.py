"""`verify`: its output and its exit status."""

import json
import re
import signal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cli.running import Cli, Put, Spawn
from confluent_kafka import Consumer, TopicPartition

from stream.core.skipped import SkippedRange

pytestmark = pytest.mark.broker


def forged(topic: str, offset: int) -> Any:
    source = {"topic": topic, "partition": 0, "offset": offset}
    body = {"blob_id": "a", "anagram_counts": {"cat": 1}, "words": 1, "source": source}
    return 0, "a", json.dumps(body), ()


def commit(env: dict[str, str], offsets: dict[int, int]) -> None:
    """Commit offsets as a client other than a worker."""
    consumer = Consumer(
        {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "group.id": env["STREAM_GROUP_ID"]}
    )
    topic = env["STREAM_INPUT_TOPIC"]
    consumer.commit(
        offsets=[TopicPartition(topic, p, offset) for p, offset in offsets.items()], asynchronous=False
    )
    consumer.close()


def texts(partition: int, number: int) -> list[Any]:
    return [(partition, f"b{n}", "cat", ()) for n in range(number)]


def test_without_a_committed_offset_nothing_was_counted(cli: Cli, stream_env: dict[str, str]) -> None:
    done = cli("verify", env=stream_env)
    assert done.status == 0
    group = stream_env["STREAM_GROUP_ID"]
    assert done.lines[-1] == f"nothing has been counted yet: group {group} has no committed offsets"


def test_uncommitted_input_is_pending_and_not_a_difference(
    cli: Cli, stream_env: dict[str, str], put: Put
) -> None:
    put(stream_env["STREAM_INPUT_TOPIC"], [*texts(0, 1), *texts(1, 2)])
    done = cli("verify", env=stream_env)
    assert done.status == 0
    assert "exactly once" not in done.out
    assert done.lines[-1].startswith("nothing has been counted yet")
    assert done.lines[-1].endswith("3 input records pending, not counted yet")
    commit(stream_env, {0: 0})
    done = cli("verify", "--format", "json", env=stream_env)
    report = json.loads(done.out)
    assert (done.status, report["holds"], report["pending"]) == (0, True, 3)
    assert [(each["committed"], each["pending"]) for each in report["partitions"]] == [(0, 1), (None, 2)]
    assert cli("verify", env=stream_env).lines[-1] == (
        "exactly once: 0 input records checked, no differences; 3 input records pending, not counted yet"
    )


def test_more_pending_offsets_than_are_read_are_counted_as_offsets(
    cli: Cli, stream_env: dict[str, str], put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.tools.audit.verify.PENDING_OFFSETS_MAX", 3)
    put(stream_env["STREAM_INPUT_TOPIC"], [*texts(0, 3), *texts(1, 2)])  # and a marker on each
    report = json.loads(cli("verify", "--format", "json", env=stream_env).out)
    assert [each["pending"] for each in report["partitions"]] == [4, 2]


def test_offset_that_another_client_moved_ahead_is_lost_input_on_each_partition(
    cli: Cli, stream_env: dict[str, str], put: Put
) -> None:
    put(stream_env["STREAM_INPUT_TOPIC"], [*texts(0, 1), *texts(1, 2)])
    commit(stream_env, {0: 1, 1: 2})
    done = cli("verify", env=stream_env)
    assert done.status == 1
    assert "exactly once" not in done.out
    assert "! partition 0: input 0: no result and no dead letter" in done.lines
    assert "! partition 1: input 0 to 1 (2 records): no result and no dead letter" in done.lines
    assert done.lines[-1] == "3 differences, 3 input records checked"


def test_lost_input_is_one_line_and_the_verdict_is_the_last(
    cli: Cli, stream_env: dict[str, str], put: Put
) -> None:
    put(stream_env["STREAM_INPUT_TOPIC"], texts(1, 400))
    commit(stream_env, {1: 400})
    put(stream_env["STREAM_COUNT_TOPIC"], [(0, b"act", b"3", ()), (0, b"dgo", b"3", ())])
    done = cli("verify", "--differences", "2", env=stream_env)
    assert [line for line in done.lines if line.startswith("!")] == [
        f"! {stream_env['STREAM_COUNT_TOPIC']}: the total of {key} on partition 0 is 3, "
        "but the input sums to 0 (+3)"
        for key in ("act", "dgo")
    ]
    assert done.lines[-2:] == ["… and 400 more", "402 differences, 400 input records checked"]


def test_skipped_range_is_reported_and_not_lost(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    topic, group = stream_env["STREAM_INPUT_TOPIC"], stream_env["STREAM_GROUP_ID"]
    put(topic, texts(1, 6))
    commit(stream_env, {1: 5})
    put(
        stream_env["STREAM_DEAD_LETTER_TOPIC"],
        [(0, None, None, SkippedRange(1, 2, 5).headers(topic, group))],
    )
    done = cli("verify", env=stream_env)
    assert done.status == 1
    assert "! partition 1: input 0 to 1 (2 records): no result and no dead letter" in done.lines
    assert "- partition 1: input 2 to 4 (3 records): skipped deliberately" in done.lines
    assert done.lines[-1] == (
        "2 differences, 2 input records checked; 1 input record pending, not counted yet; "
        "3 input records skipped deliberately"
    )
    report = json.loads(cli("verify", "--format", "json", env=stream_env).out)
    assert (report["lost"], report["skipped"], report["dead_letters"]) == (2, 3, 0)


def test_committed_offset_beyond_the_input_is_a_difference_at_once(
    cli: Cli, stream_env: dict[str, str], put: Put
) -> None:
    put(stream_env["STREAM_INPUT_TOPIC"], texts(0, 1))
    commit(stream_env, {0: 9})
    done = cli("verify", env=stream_env)
    assert done.status == 1
    assert "partition 0: the committed offset 9 is beyond the end of the input, 2" in done.out
    assert "partition 0: input 0: no result and no dead letter" in done.out


def test_stores_are_reported_as_unchecked_or_missing(
    cli: Cli, stream_env: dict[str, str], tmp_path: Path
) -> None:
    def stores_row(*arguments: str) -> tuple[str, str]:
        done = cli("verify", *arguments, env=stream_env)
        (row,) = [line for line in done.lines if line.startswith("  wrong store entries")]
        return row.removeprefix("  wrong store entries").strip(), done.out

    assert stores_row()[0] == "not checked (no --state-dir)"
    (tmp_path / "empty").mkdir()
    row, out = stores_row("--state-dir", "empty")
    assert row == "no stores found"
    assert "not checked: no stores found in empty" in out


def test_result_without_input_is_a_difference(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    put(stream_env["STREAM_RESULT_TOPIC"], [forged(stream_env["STREAM_INPUT_TOPIC"], 7)])
    done = cli("verify", "--format", "json", env=stream_env)
    report = json.loads(done.out)
    assert (done.status, report["holds"], report["unknown"]) == (1, False, 1)
    what = "a result, but the input is missing or not committed (offset 0 of the result topic)"
    assert report["differences"] == [f"partition 0: input 7: {what}"]
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
    assert "the total of act on partition 1 is 3, but the input sums to 0 (+3)" in done.out


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
    commit(stream_env, {0: 1})
    done = cli("verify", env=stream_env)
    assert done.status == 1
    assert "the total of act on partition 0 is 0, but the input sums to 1 (-1)" in done.out
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
