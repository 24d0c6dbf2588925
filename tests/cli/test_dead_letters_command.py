"""`dead-letters` with records as a worker writes them."""

import json
import signal
import threading
from typing import Any

import pytest
from cli.running import Cli, Put, Spawn

from stream import __version__
from stream.core.dead_letter import to_dead_letter
from stream.core.records import InputRecord
from stream.errors import Reason, Rejected

pytestmark = pytest.mark.broker


def letter(
    env: dict[str, str], reason: Reason, offset: int, value: bytes | None, bytes_max: int = 10**6
) -> Any:
    record = InputRecord(
        env["STREAM_INPUT_TOPIC"], 1, offset, b"key\xff" if offset else b"key", value, [("trace", b"t1")]
    )
    why = Rejected(reason, "decode", f"detail of {offset}")
    dead_letter = to_dead_letter(
        record, why, topic="d", group="g", failed_at="2026-01-02T03:04:05.678+00:00", bytes_max=bytes_max
    )
    return dead_letter.partition, dead_letter.key, dead_letter.value, dead_letter.headers


@pytest.fixture
def rejected(stream_env: dict[str, str], put: Put) -> dict[str, str]:
    """Dead letters: one undecodable and aborted, then 1:2 to 1:5, and a foreign record at 0:0."""
    topic = stream_env["STREAM_DEAD_LETTER_TOPIC"]
    put(topic, [letter(stream_env, Reason.UNDECODABLE, 1, b"aborted")], abort=True)
    letters = [
        letter(stream_env, Reason.UNDECODABLE, 0, b"\xff\x00secret"),
        letter(stream_env, Reason.BAD_JSON, 7, b'{"text": 1}\nsecond\tline'),
        letter(stream_env, Reason.TEXT_TOO_LARGE, 9, b"x" * 900, bytes_max=100),
        letter(stream_env, Reason.BAD_JSON, 7, b"again"),
    ]
    put(topic, [*letters, (0, None, b"foreign", ())])
    return stream_env


def test_dead_letters_are_listed_with_the_start_of_their_values(cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "list", env=rejected)
    source = rejected["STREAM_INPUT_TOPIC"]
    assert done.rows[0] == [
        "position",
        "reason",
        "stage",
        "tries",
        "failed at",
        "input",
        "bytes",
        "message",
        "value",
    ]
    failed = "2026-01-02T03:04:05.678+00:00"
    rows = sorted(done.rows[1:])
    assert rows[0][:2] == ["0:0", "?"]
    assert rows[1:] == [
        [
            "1:2",
            "undecodable",
            "decode",
            "1",
            failed,
            f"{source}:1:0",
            "8",
            "detail of 0",
            "\\xff\\x00secret",
        ],
        [
            "1:3",
            "bad-json",
            "decode",
            "1",
            failed,
            f"{source}:1:7",
            "23",
            "detail of 7",
            '{"text": 1}\\nsecond\\tline',
        ],
        ["1:4", "text-too-large", "decode", "1", failed, f"{source}:1:9", "900", "detail of 9", ""],
        ["1:5", "bad-json", "decode", "1", failed, f"{source}:1:7", "5", "detail of 7", "again"],
    ]
    assert done.err.startswith("5 dead letters: 2 bad-json, 1 ")


def test_dead_letters_are_filtered_by_reason(cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "list", "--reason", "bad-json", "--format", "json", env=rejected)
    first, second = [json.loads(line) for line in done.lines]
    assert (first["offset"], second["offset"]) == (3, 5)
    assert first == {
        "partition": 1, "offset": 3, "reason": "bad-json", "stage": "decode", "attempts": 1,
        "failed_at": "2026-01-02T03:04:05.678+00:00", "message": "detail of 7", "exception": "Rejected",
        "input": {"topic": rejected["STREAM_INPUT_TOPIC"], "partition": 1, "offset": 7},
        "group": "g", "version": __version__, "value_bytes": 23, "fingerprint": first["fingerprint"],
        "replays": 0, "value_start": '{"text": 1}\\nsecond\\tline',
    }  # fmt: skip
    limited = cli("dead-letters", "list", "--reason", "bad-json", "--limit", "1", env=rejected)
    assert limited.err == "1 dead letter: 1 bad-json\n"
    assert cli("dead-letters", "list", "--reason", "null-value", env=rejected).err == (
        f"No dead letters in topic {rejected['STREAM_DEAD_LETTER_TOPIC']}\n"
    )


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


def test_one_dead_letter_is_shown_with_all_its_parts(cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "show", "1:2", env=rejected)
    assert done.status == 0
    assert f"position  1:2 in {rejected['STREAM_DEAD_LETTER_TOPIC']}" in done.lines
    assert "key       key" in done.lines
    assert [line.split() for line in done.lines if line.startswith("  trace")] == [["trace", "t1"]]
    assert any(line.split() == ["dead-letter.reason", "undecodable"] for line in done.lines)
    assert "value     8 bytes, not readable as text" in done.lines
    as_json = json.loads(cli("dead-letters", "show", "1:2", "--format", "json", env=rejected).out)
    assert (as_json["key"], as_json["value_base64"]) == ("key", "/wBzZWNyZXQ=")
    assert {"name": "trace", "value": "t1"} in as_json["headers"]
    assert done.lines[-1].split()[1:] == ["ff", "00", "73", "65", "63", "72", "65", "74", "..secret"]


def test_text_of_a_dead_letter_is_shown_and_shortened_if_long(
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
        assert "--raw writes the whole value" in done.lines[-1]
        assert len(done.out) < 10_000
    assert "\x1b" not in cli("dead-letters", "show", "1:3", env=stream_env).out


def test_raw_value_is_written_byte_for_byte(cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "show", "1:2", "--raw", env=rejected)
    assert (done.status, done.out_bytes, done.err) == (0, b"\xff\x00secret", "")


def test_omitted_value_is_explained(cli: Cli, rejected: dict[str, str]) -> None:
    source = f"{rejected['STREAM_INPUT_TOPIC']}:1:9"
    shown = cli("dead-letters", "show", "1:4", env=rejected)
    assert shown.lines[-1] == (
        f"value     none: its 900 bytes exceed the limit of the topic; the original is at {source}"
    )
    raw = cli("dead-letters", "show", "1:4", "--raw", env=rejected)
    assert (raw.status, raw.out) == (1, "")
    assert source in raw.err


def test_dead_letter_is_found_by_its_input_and_the_newest_is_shown(
    cli: Cli, rejected: dict[str, str]
) -> None:
    done = cli("dead-letters", "show", "--input", "1:7", "--raw", env=rejected)
    assert (done.status, done.out) == (0, "again")
    assert done.err == "the record has 2 dead letters; this is the newest. The others: 1:3\n"
    unknown = cli("dead-letters", "show", "--input", "1:8", env=rejected)
    assert unknown.status == 1
    assert f"{rejected['STREAM_INPUT_TOPIC']}:1:8" in unknown.err


@pytest.mark.parametrize(
    ("position", "why"),
    [
        ("2:0", "no partition 2"),
        ("1:99", "has the offsets 0 to"),
        ("1:0", "an aborted record"),
        ("1:6", "a transaction marker"),
    ],
)
def test_unknown_position_is_one_error(position: str, why: str, cli: Cli, rejected: dict[str, str]) -> None:
    done = cli("dead-letters", "show", position, env=rejected)
    assert (done.status, done.out) == (1, "")
    assert why in done.err
