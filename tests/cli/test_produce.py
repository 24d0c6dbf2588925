import signal
import time
from pathlib import Path

import pytest
from cli.running import Cli, Spawn
from support.topics import make_topics, read

from stream.tools.kafka.topic_reader import StoredRecord

pytestmark = pytest.mark.broker


def sent(env: dict[str, str]) -> dict[tuple[bytes | None, bytes | None], StoredRecord]:
    return {(record.key, record.value): record for record in read(env, "input")}


def test_lines_of_files_and_folders_arrive_with_their_keys(
    cli: Cli, stream_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/sub/b.txt").write_text("two\n")
    (tmp_path / "a.txt").write_bytes(b"one\n\n\xff not UTF-8\n")
    done = cli("produce", "a.txt", "folder", env=stream_env)
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith("3 blobs delivered (17 bytes) in ")
    assert set(sent(stream_env)) == {
        (b"a.txt:1", b"one"),
        (b"a.txt:3", b"\xff not UTF-8"),
        (b"sub/b.txt:1", b"two"),
    }
    assert not any(record.headers for record in sent(stream_env).values())


def test_binary_files_of_a_folder_are_named_before_they_are_sent(
    cli: Cli, stream_env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.txt").write_text("cat\n")
    for number in range(12):
        (tmp_path / f"folder/photo-{number:02}.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    done = cli("produce", "folder", env=stream_env)
    assert done.status == 0
    *warnings, more, last = done.err.splitlines()
    assert [line.split()[1] for line in warnings] == [f"photo-{number:02}.png" for number in range(10)]
    assert warnings[0].startswith("warning: photo-00.png is not UTF-8 text: a blob that cannot be decoded")
    assert more == "warning: 2 more files are not UTF-8 text"
    assert "blobs delivered" in last


def test_whole_files_and_standard_input_arrive(cli: Cli, stream_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\ntwo\n")
    (tmp_path / "empty.txt").touch()
    assert cli("produce", "--whole", "a.txt", "empty.txt", env=stream_env).status == 0
    assert cli("produce", env=stream_env, typed=b"three\nfour").status == 0
    assert cli("produce", "--id-prefix", "web-", "-", env=stream_env, typed=b"five\n").status == 0
    assert cli("produce", "--no-key", "a.txt", env=stream_env).status == 0
    assert set(sent(stream_env)) == {
        (b"a.txt", b"one\n\ntwo\n"), (b"empty.txt", b""), (None, b"three"), (None, b"four"),
        (b"web-1", b"five"), (None, b"one"), (None, b"two"),
    }  # fmt: skip


def test_envelope_is_sent_by_option_or_by_the_input_format(cli: Cli, stream_env: dict[str, str]) -> None:
    assert cli("produce", "--json", "--id-prefix", "x", env=stream_env, typed=b"one\n").status == 0
    as_json = {**stream_env, "STREAM_INPUT_FORMAT": "json"}
    assert cli("produce", env=as_json, typed=b"two\n").status == 0
    assert cli("produce", "--no-json", env=as_json, typed=b'{"text":"three"}\n').status == 0
    records = sent(stream_env)
    assert set(records) == {
        (b"x1", b'{"id":"x1","text":"one"}'),
        (None, b'{"text":"two"}'),
        (None, b'{"text":"three"}'),
    }
    assert records[b"x1", b'{"id":"x1","text":"one"}'].headers == [("content-type", b"application/json")]
    assert not records[None, b'{"text":"three"}'].headers


def test_bytes_that_are_not_utf_8_are_not_sent_as_json(cli: Cli, stream_env: dict[str, str]) -> None:
    done = cli("produce", "--json", env=stream_env, typed=b"\xff\none\n")
    assert done.status == 1
    assert "standard input:1: not UTF-8" in done.err
    assert "1 of 2 blobs not delivered" in done.err
    assert len(sent(stream_env)) == 1


def test_text_is_sent_up_to_the_limit_of_the_topic(cli: Cli, bare_env: dict[str, str]) -> None:
    small = {"STREAM_TEXT_BYTES_MAX": "1000", "STREAM_RESULT_BYTES_MAX": "1000"}
    env = make_topics(bare_env | small, partitions=1)
    typed = b"\n".join([b"x" * 2_000, b"x" * 70_000, b"x" * 300_000, *[b"y" * 100] * 2_000])
    done = cli("produce", env=env, typed=typed)
    assert done.status == 1
    assert "standard input:2: 70,000 bytes" in done.err
    assert "standard input:3: longer than" in done.err
    assert "2 of 2,003 blobs not delivered" in done.err
    assert "fix: raise STREAM_TEXT_BYTES_MAX" in done.err
    assert sorted(len(record.value or b"") for record in read(env, "input")) == [100] * 2_000 + [2_000]


def test_missing_topic_is_one_error(cli: Cli, bare_env: dict[str, str]) -> None:
    done = cli("produce", env=bare_env, typed=b"one\n")
    assert done.status == 1
    assert "anagram-stream topics create" in done.err


def test_empty_input_is_not_an_error(cli: Cli, stream_env: dict[str, str]) -> None:
    done = cli("produce", env=stream_env, typed=b"\n")
    assert done.status == 0
    assert done.err.startswith("0 blobs delivered")


def test_rate_is_not_exceeded(cli: Cli, stream_env: dict[str, str]) -> None:
    began = time.monotonic()
    assert cli("produce", "--rate", "100", env=stream_env, typed=b"x\n" * 101).status == 0
    assert time.monotonic() - began >= 1
    stamps = sorted(record.timestamp_ms for record in read(stream_env, "input"))
    assert 800 <= stamps[-1] - stamps[0] <= 2500


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_sends_what_was_read_and_reports_it(
    number: signal.Signals, spawn: Spawn, stream_env: dict[str, str]
) -> None:
    process = spawn("produce", env=stream_env)
    assert process.stdin is not None
    process.stdin.write(b"one\ntwo\nthree\n")
    process.stdin.flush()
    deadline = time.monotonic() + 30
    while len(read(stream_env, "input")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(20) == 130
    assert process.stderr is not None
    summary = process.stderr.read().decode()
    assert summary.startswith("3 blobs delivered (11 bytes)")
    assert len(summary.splitlines()) == 1
