"""`results` and `totals` on records in the documented format, and the behavior that all listings share."""

import json
import signal
from typing import Any

import pytest
from cli.running import Cli, Put, Spawn

pytestmark = pytest.mark.broker
JSON_HEADERS = (("content-type", b"application/json"), ("schema", b"anagram-result/1"))


def result(blob_id: str, counts: dict[str, int], partition: int = 0, offset: int = 0) -> Any:
    value = {
        "blob_id": blob_id,
        "anagram_counts": counts,
        "words": 9,
        "source": {"topic": "text-blobs", "partition": partition, "offset": offset},
    }
    return partition, blob_id, json.dumps(value, separators=(",", ":")), JSON_HEADERS


def test_results_are_shown_in_full_in_a_pipe(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    topic = stream_env["STREAM_RESULT_TOPIC"]
    counts = {f"word{n:02}": n for n in range(1, 40)}
    put(topic, [result("a\tb", counts), result("empty", {}, 1)])
    put(topic, [result("aborted", {}, 1)], abort=True)
    put(topic, [(1, b"x", b"no result", ()), (1, None, None, ())])
    done = cli("results", env=stream_env)
    assert done.status == 0
    assert done.rows[0] == ["blob id", "words", "anagram counts", "position"]
    expected = " ".join(f"word{n:02}={n}" for n in range(39, 0, -1))
    assert sorted(done.rows[1:]) == [[r"a\tb", "9", expected, "0:0"], ["empty", "9", "", "1:0"]]
    assert "skipped 2 foreign records" in done.err


def test_results_as_json_are_the_unchanged_records(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    records = [result("a", {"cat": 1}), result("ü", {"act": 2}, 0, 1)]
    partition, key, value, headers = result("pretty", {})
    pretty = json.dumps(json.loads(value), indent=1)
    put(stream_env["STREAM_RESULT_TOPIC"], [*records, (partition, key, pretty, headers)])
    done = cli("results", "--format", "json", env=stream_env)
    assert done.lines == [records[0][2], records[1][2], value]
    assert cli("results", "--format", "json", "--limit", "1", env=stream_env).lines == [records[0][2]]


@pytest.mark.parametrize("command", [("results",), ("totals",), ("dead-letters", "list")], ids=" ".join)
def test_empty_topic_is_reported_with_status_0(
    command: tuple[str, ...], cli: Cli, stream_env: dict[str, str]
) -> None:
    done = cli(*command, env=stream_env)
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith("No ")


@pytest.mark.parametrize("command", [("results",), ("totals",), ("dead-letters", "list")], ids=" ".join)
def test_missing_topic_is_one_error(command: tuple[str, ...], cli: Cli, bare_env: dict[str, str]) -> None:
    done = cli(*command, env=bare_env)
    assert done.status == 1
    assert "anagram-stream topics create" in done.err


def test_followed_results_appear_when_committed_until_ctrl_c(
    spawn: Spawn, stream_env: dict[str, str], put: Put
) -> None:
    topic = stream_env["STREAM_RESULT_TOPIC"]
    put(topic, [result("old", {}), result("older", {}, 1)])
    process = spawn("results", "--follow", "--format", "json", env=stream_env)
    assert process.stdout is not None
    first = {json.loads(process.stdout.readline())["blob_id"] for _ in range(2)}
    assert first == {"old", "older"}
    put(topic, [result("aborted", {}, 1)], abort=True)
    put(topic, [result("new", {}, 1)])
    assert json.loads(process.stdout.readline())["blob_id"] == "new"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_closed_pipe_stops_a_listing_silently(spawn: Spawn, stream_env: dict[str, str], put: Put) -> None:
    put(stream_env["STREAM_RESULT_TOPIC"], [result(f"blob {n}", {"cat": n + 1}) for n in range(10_000)])
    process = spawn("results", env=stream_env)
    assert process.stdout is not None
    assert process.stdout.readline() == b"blob id\twords\tanagram counts\tposition\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(20) == 0


@pytest.fixture
def counted(stream_env: dict[str, str], put: Put) -> dict[str, str]:
    """Totals: eilnst 7 + 10, act 20, dgo 1."""
    topic = stream_env["STREAM_COUNT_TOPIC"]
    put(topic, [(0, "eilnst", "3", ()), (0, "act", "20", ()), (1, "eilnst", "10", ())])
    put(topic, [(0, "eilnst", "99", ())], abort=True)
    processed_offset = (("input-next-offset", b"5"), ("dictionary", b"d"))
    put(topic, [(0, "dgo", "1", ()), (0, "eilnst", "7", processed_offset)])
    return stream_env


def test_totals_are_sums_of_the_latest_values_of_all_partitions(cli: Cli, counted: dict[str, str]) -> None:
    done = cli("totals", env=counted)
    assert done.rows == [
        ["signature", "total", "dictionary words"],
        ["act", "20", "act cat"],
        ["eilnst", "17", "listen silent"],
        ["dgo", "1", "(not in the dictionary)"],
    ]
    assert len(cli("totals", "--top", "2", env=counted).rows) == 3
    assert len(cli("totals", "--top", "0", env=counted).rows) == 4


def test_totals_of_words_are_those_of_their_signatures(cli: Cli, counted: dict[str, str]) -> None:
    done = cli("totals", "Tinsel", "room", "zz-cat", env=counted)
    assert done.rows == [
        ["word", "signature", "total", "dictionary words"],
        ["tinsel", "eilnst", "17", "listen silent"],
        ["room", "moor", "0", "moor"],
        ["zz", "zz", "0", "(not in the dictionary)"],
        ["cat", "act", "20", "act cat"],
    ]
    assert [row[0] for row in cli("totals", "--top", "2", "tinsel", "room", "cat", env=counted).rows] == [
        "word",
        "cat",
        "tinsel",
    ]


def test_totals_as_json(cli: Cli, counted: dict[str, str]) -> None:
    done = cli("totals", "--format", "json", "--top", "1", env=counted)
    assert [json.loads(line) for line in done.lines] == [
        {"signature": "act", "total": 20, "words": ["act", "cat"]}
    ]
    of_word = cli("totals", "--format", "json", "god", env=counted)
    assert json.loads(of_word.out) == {"word": "god", "signature": "dgo", "total": 1, "words": []}


def test_invalid_total_is_an_error(cli: Cli, counted: dict[str, str], put: Put) -> None:
    put(counted["STREAM_COUNT_TOPIC"], [(0, "act", "many", ())])
    done = cli("totals", env=counted)
    assert done.status == 1
    assert "has an invalid total" in done.err
