import json
from pathlib import Path

import pytest
from cli.running import Cli, Spawn

NOTHING = '{"stages": {"get_words": {"rate": 0}}}'
QUICK = ("--faults", "original", "--scale", "0")


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.exercise.stages._WAIT", lambda _: 0.0)


def test_small_is_the_default(cli: Cli) -> None:
    done = cli("pipeline")
    assert done.status == 0
    assert done.rows[0] == ["test case", "runtime, ms", "expected, ms", "validation", "anagram counts"]
    (row,) = done.rows[1:]
    assert (row[0], row[2], row[3]) == ("small", "1", "passed")
    assert "listen=2" in row[4].split()
    assert done.err == ""


def test_all_and_edge_pass(cli: Cli) -> None:
    done = cli("pipeline", "--test-case", "all")
    assert [row[0] for row in done.rows[1:]] == ["small", "medium", "large"]
    done = cli("pipeline", "--test-case", "edge")
    assert done.status == 0
    assert len(done.rows) > 8
    assert {row[3] for row in done.rows[1:]} == {"passed"}


def test_json_has_all_results(cli: Cli) -> None:
    done = cli("pipeline", "--format", "json", *QUICK, "--seed", "3")
    report = json.loads(done.out)
    (result,) = report["results"]
    assert report["passed"] is result["passed"] is True
    assert (result["name"], result["group"], result["expected_runtime_ms"]) == ("small", "small", 1)
    assert result["anagram_counts"]["listen"] == 2
    assert report["faults"]["plan"]["seed"] == 3
    assert report["stages"]["get_words"]["failures"] == 2
    assert {"stage": "get_words", "kind": "value-error", "times": 2} in report["faults"]["injected"]
    assert cli("pipeline", "--format", "json").out.count('"faults":null') == 1


def test_given_text_is_counted_with_the_configured_dictionary(cli: Cli) -> None:
    done = cli("pipeline", "--text", "Listen: a silent cat, cat")
    assert (done.status, done.rows) == (
        0,
        [["word", "count"], ["act", "2"], ["cat", "2"], ["listen", "2"], ["silent", "2"]],
    )


def test_text_is_read_from_a_file_or_standard_input(cli: Cli) -> None:
    Path("mine.txt").write_text("cat\nmoor", encoding="utf-8")
    assert cli("pipeline", "--file", "mine.txt").rows[1:] == [["act", "1"], ["cat", "1"], ["moor", "1"]]
    assert cli("pipeline", "--file", "-", typed=b"moor moor").rows[1:] == [["moor", "2"]]
    several = cli("pipeline", "--file", "mine.txt", "--text", "moor").out
    assert "mine.txt" in several
    assert "--text" in several


def test_text_in_a_pipe_is_counted_and_an_empty_pipe_is_ignored(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn("pipeline", env={"STREAM_DICTIONARY": str(tmp_path / "few.txt")})
    (tmp_path / "few.txt").write_text("cat\nact\n")
    out, err = process.communicate(b"cat", 60)
    assert (process.returncode, out, err) == (0, b"word\tcount\nact\t1\ncat\t1\n", b"")
    out, _ = spawn("pipeline", env={}).communicate(b"", 60)
    assert out.startswith(b"test case\t")


def test_silent_pipe_is_reported(spawn: Spawn) -> None:
    """`pipeline` does not wait for input, because the pipe may stay silent forever."""
    process = spawn("pipeline", env={})
    assert process.stdout is not None
    assert process.stderr is not None
    sample, warning = process.stdout.read(), process.stderr.read()  # standard input is still open
    assert (process.wait(30), sample.startswith(b"test case\t")) == (0, True)
    assert b"standard input was not read" in warning
    assert b"--file -" in warning


def test_failed_validation_is_exit_status_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.core.dictionary.AnagramIndex.anagrams", {}, raising=False)
    monkeypatch.setattr("stream.exercise.stages.signature", str)
    done = cli("pipeline")
    assert done.status == 1
    assert done.rows[1][3].startswith("failed: wrong counts: act: 0 instead of 1")


def test_stage_that_always_fails_is_one_clear_error(cli: Cli) -> None:
    Path("plan.json").write_text('{"stages": {"get_words": {"rate": 1}}}')
    done = cli("pipeline", "--faults", "plan.json")
    assert done.status == 1
    assert "failed: get_words failed 12 times in a row" in done.rows[1][3]
    done = cli("pipeline", "--faults", "plan.json", "--text", "cat")
    assert (done.status, done.lines[0].startswith("--text failed: get_words failed 12")) == (1, True)


def test_many_runs_are_compared_with_the_naive_pipeline(cli: Cli) -> None:
    done = cli("pipeline", "--runs", "30", *QUICK)
    assert done.status == 0
    assert done.rows[0] == ["pipeline", "test case", "succeeded", "rate", "median, ms", "p95, ms"]
    assert done.rows[1][:4] == ["pipeline", "small", "30 of 30", "100.0%"]
    assert done.rows[2][:2] == ["baseline", "small"]
    assert done.rows[2][3] != "100.0%"
    report = json.loads(
        cli("pipeline", "--runs", "3", *QUICK, "--test-case", "medium", "--format", "json").out
    )
    (medium,) = report["trials"]
    assert (medium["pipeline"], medium["successes"], medium["failures"]) == ("pipeline", 3, {})
    assert report["faults"]["scale"] == 0


def test_run_that_fails_among_many_is_exit_status_1(cli: Cli) -> None:
    Path("plan.json").write_text('{"stages": {"get_words": {"rate": 0.9}}}')
    assert cli("pipeline", "--runs", "10", "--faults", "plan.json").status == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--test-case", "tiny"], "the group of test cases 'tiny' does not exist"),
        (["--test-case", ""], "the group of test cases '' does not exist"),
        (["--seed", "1"], "--seed and --scale need --faults"),
        (["--scale", "0.5"], "--seed and --scale need --faults"),
        (["--faults", "nope.json"], "cannot read nope.json"),
        (["--file", "nope.txt"], "no such file: nope.txt"),
        (["--file", "words"], ""),
        (["--test-case", "small", "--text", "cat"], "--test-case cannot be combined with --file or --text"),
        (["--runs", "2", "--text", "cat"], "--runs needs test cases"),
        (["--scale", "2", "--faults", "original"], "--scale"),
        (["--format", "xml"], "--format"),
        (["--file", "latin.txt"], "latin.txt is not UTF-8 at byte 3"),
    ],
)
def test_wrong_usage_is_exit_status_2_and_one_error(cli: Cli, args: list[str], message: str) -> None:
    Path("latin.txt").write_bytes(b"caf\xe9")
    done = cli("pipeline", *args)
    if args == ["--file", "words"]:  # a folder: all its files are read
        assert done.status == 0
    else:
        assert (done.status, done.out) == (2, "")
        assert message in done.err


def test_text_that_is_too_long_is_refused(cli: Cli) -> None:
    done = cli("pipeline", "--file", "-", typed=b"cat " * 10, env={"STREAM_TEXT_BYTES_MAX": "10"})
    assert (done.status, "longer than 10 bytes" in done.err) == (2, True)
