"""`results`, `totals` and `dead-letters` on records in the documented format."""

import json
import signal
import threading
from typing import Any

import pytest
from cli.running import Cli, Put, Spawn

from stream import __version__
from stream.core.dead_letter import dead_letter
from stream.core.records import InputRecord
from stream.errors import Reason, Rejected

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


def letter(
    env: dict[str, str], reason: Reason, offset: int, value: bytes | None, bytes_max: int = 10**6
) -> Any:
    record = InputRecord(
        env["STREAM_INPUT_TOPIC"], 1, offset, b"key\xff" if offset else b"key", value, [("trace", b"t1")]
    )
    why = Rejected(reason, "decode", f"detail of {offset}")
    made = dead_letter(
        record, why, topic="d", group="g", failed_at="2026-01-02T03:04:05.678+00:00", bytes_max=bytes_max
    )
    return made.partition, made.key, made.value, made.headers


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
    assert "2 records" in done.err


def test_results_as_json_are_the_records_own_lines(cli: Cli, stream_env: dict[str, str], put: Put) -> None:
    records = [result("a", {"cat": 1}), result("ü", {"act": 2}, 0, 1)]
    partition, key, value, headers = result("pretty", {})
    pretty = json.dumps(json.loads(value), indent=1)
    put(stream_env["STREAM_RESULT_TOPIC"], [*records, (partition, key, pretty, headers)])
    done = cli("results", "--format", "json", env=stream_env)
    assert done.lines == [records[0][2], records[1][2], value]
    assert cli("results", "--format", "json", "--limit", "1", env=stream_env).lines == [records[0][2]]


@pytest.mark.parametrize("command", [("results",), ("totals",), ("dead-letters", "list")], ids=" ".join)
def test_empty_topic_is_said_and_no_fault(
    command: tuple[str, ...], cli: Cli, stream_env: dict[str, str]
) -> None:
    done = cli(*command, env=stream_env)
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith("no ")


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


def test_reader_that_leaves_ends_a_listing_in_silence(
    spawn: Spawn, stream_env: dict[str, str], put: Put
) -> None:
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
    bookmark = (("input-next-offset", b"5"), ("dictionary", b"d"))
    put(topic, [(0, "dgo", "1", ()), (0, "eilnst", "7", bookmark)])
    return stream_env


def test_totals_are_the_sum_of_the_last_values_of_the_partitions(cli: Cli, counted: dict[str, str]) -> None:
    done = cli("totals", env=counted)
    assert done.rows == [
        ["signature", "total", "dictionary words"],
        ["act", "20", "act cat"],
        ["eilnst", "17", "listen silent"],
        ["dgo", "1", "(not in this dictionary)"],
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


def test_topic_that_holds_no_totals_is_a_fault(cli: Cli, counted: dict[str, str], put: Put) -> None:
    put(counted["STREAM_COUNT_TOPIC"], [(0, "act", "many", ())])
    done = cli("totals", env=counted)
    assert done.status == 1
    assert "what is no total" in done.err


@pytest.fixture
def rejected(stream_env: dict[str, str], put: Put) -> dict[str, str]:
    """Dead letters: one undecodable and aborted, then 1:2 to 1:5, and a stranger at 0:0."""
    topic = stream_env["STREAM_DEAD_LETTER_TOPIC"]
    put(topic, [letter(stream_env, Reason.UNDECODABLE, 1, b"aborted")], abort=True)
    letters = [
        letter(stream_env, Reason.UNDECODABLE, 0, b"\xff\x00secret"),
        letter(stream_env, Reason.BAD_JSON, 7, b'{"text": 1}\nsecond\tline'),
        letter(stream_env, Reason.TEXT_TOO_LARGE, 9, b"x" * 900, bytes_max=100),
        letter(stream_env, Reason.BAD_JSON, 7, b"again"),
    ]
    put(topic, [*letters, (0, None, b"a stranger", ())])
    return stream_env


def test_dead_letters_are_listed_without_their_values(cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "list", env=rejected)
    source = rejected["STREAM_INPUT_TOPIC"]
    assert done.rows[0] == ["position", "reason", "stage", "tries", "failed at", "input", "bytes", "message"]
    failed = "2026-01-02T03:04:05.678+00:00"
    rows = sorted(done.rows[1:])
    assert rows[0][:2] == ["0:0", "?"]
    assert rows[1:] == [
        ["1:2", "undecodable", "decode", "1", failed, f"{source}:1:0", "8", "detail of 0"],
        ["1:3", "bad-json", "decode", "1", failed, f"{source}:1:7", "23", "detail of 7"],
        ["1:4", "text-too-large", "decode", "1", failed, f"{source}:1:9", "900", "detail of 9"],
        ["1:5", "bad-json", "decode", "1", failed, f"{source}:1:7", "5", "detail of 7"],
    ]
    assert done.err.startswith("5 dead letters: 2 bad-json, 1 ")
    assert "secret" not in done.out


def test_dead_letters_of_one_reason(cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "list", "--reason", "bad-json", "--format", "json", env=rejected)
    first, second = [json.loads(line) for line in done.lines]
    assert (first["offset"], second["offset"]) == (3, 5)
    assert first == {
        "partition": 1, "offset": 3, "reason": "bad-json", "stage": "decode", "attempts": 1,
        "failed_at": "2026-01-02T03:04:05.678+00:00", "message": "detail of 7", "exception": "Rejected",
        "input": {"topic": rejected["STREAM_INPUT_TOPIC"], "partition": 1, "offset": 7},
        "group": "g", "version": __version__, "value_bytes": 23,
    }  # fmt: skip
    limited = cli("dead-letters", "list", "--reason", "bad-json", "--limit", "1", env=rejected)
    assert limited.err == "1 dead letter: 1 bad-json\n"
    assert cli("dead-letters", "list", "--reason", "null-value", env=rejected).err.startswith("no such")


def test_followed_dead_letters_appear_until_ctrl_c(
    spawn: Spawn, stream_env: dict[str, str], put: Put
) -> None:
    process = spawn("dead-letters", "list", "--follow", "--format", "json", env=stream_env)
    later = threading.Timer(
        1, put, (stream_env["STREAM_DEAD_LETTER_TOPIC"], [letter(stream_env, Reason.BAD_JSON, 3, b"x")])
    )
    later.start()
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["input"]["offset"] == 3
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    later.join()


def test_one_dead_letter_is_shown_with_all_that_is_known(cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "show", "1:2", env=rejected)
    assert done.status == 0
    assert f"position  1:2 in {rejected['STREAM_DEAD_LETTER_TOPIC']}" in done.lines
    assert "key       key" in done.lines
    assert [line.split() for line in done.lines if line.startswith("  trace")] == [["trace", "t1"]]
    assert any(line.split() == ["dead-letter.reason", "undecodable"] for line in done.lines)
    assert "value     8 bytes, not readable as text" in done.lines
    assert done.lines[-1].split()[1:] == ["ff", "00", "73", "65", "63", "72", "65", "74", "..secret"]


def test_text_of_a_dead_letter_is_shown_and_a_long_one_shortened(
    cli: Cli, stream_env: dict[str, str], put: Put
) -> None:
    text = "\n".join(f"line {n}" for n in range(2_000)).encode()
    letters = [
        letter(stream_env, Reason.BAD_JSON, 1, b"a\r\n\tb"),
        letter(stream_env, Reason.BAD_JSON, 2, text),
        letter(stream_env, Reason.BAD_JSON, 3, b"\xff" * 5_000),
        letter(stream_env, Reason.BAD_JSON, 4, b"\x1b[31mred"),
    ]
    put(stream_env["STREAM_DEAD_LETTER_TOPIC"], letters)
    short = cli("dead-letters", "show", "1:0", env=stream_env)
    assert short.lines[-3:] == ["value     5 bytes", "  a", "  \tb"]
    assert "key       0x6b6579ff" in short.lines
    for position in ("1:1", "1:2"):
        done = cli("dead-letters", "show", position, env=stream_env)
        assert "--raw writes all of it" in done.lines[-1]
        assert len(done.out) < 10_000
    assert "\x1b" not in cli("dead-letters", "show", "1:3", env=stream_env).out


def test_raw_value_is_written_byte_for_byte(cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "show", "1:2", "--raw", env=rejected)
    assert (done.status, done.out_bytes, done.err) == (0, b"\xff\x00secret", "")


def test_value_that_was_left_out_is_said(cli: Cli, rejected: dict[str, str]) -> None:
    source = f"{rejected['STREAM_INPUT_TOPIC']}:1:9"
    shown = cli("dead-letters", "show", "1:4", env=rejected)
    assert shown.lines[-1] == (
        f"value     none: its 900 bytes were too many here; the original lay at {source}"
    )
    raw = cli("dead-letters", "show", "1:4", "--raw", env=rejected)
    assert (raw.status, raw.out) == (1, "")
    assert source in raw.err


def test_dead_letter_is_found_by_its_input_and_the_newest_is_shown(
    cli: Cli, rejected: dict[str, str]
) -> None:
    done = cli("dead-letters", "show", "--input", "1:7", "--raw", env=rejected)
    assert (done.status, done.out) == (0, "again")
    assert done.err == "there are 2 of that record; the others: 1:3\n"
    unknown = cli("dead-letters", "show", "--input", "1:8", env=rejected)
    assert unknown.status == 1
    assert f"{rejected['STREAM_INPUT_TOPIC']}:1:8" in unknown.err


@pytest.mark.parametrize(
    ("position", "why"),
    [
        ("2:0", "no partition 2"),
        ("1:99", "holds the offsets 0 to"),
        ("1:0", "an aborted one"),
        ("1:6", "a transaction's end"),
    ],
)
def test_unknown_position_is_one_error(position: str, why: str, cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "show", position, env=rejected)
    assert (done.status, done.out) == (1, "")
    assert why in done.err
