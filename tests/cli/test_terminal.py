"""Standard input and output that are closed, full, or without UTF-8; terminals without colors."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

DOCTOR = {"STREAM_BOOTSTRAP_SERVERS": "localhost:1"}


def run(shell: str, folder: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell line in which `$A` is anagram-stream."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    env = {
        **base,
        **DOCTOR,
        "STREAM_STATE_DIR": str(folder / "state"),
        "A": f"{sys.executable} -m stream",
        **env,
    }
    return subprocess.run(
        ["sh", "-c", shell],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C"},
    ],
    ids=str,
)
def test_marks_are_ascii_where_the_encoding_has_no_others(tmp_path: Path, env: dict[str, str]) -> None:
    done = run("$A doctor", tmp_path, **env)
    assert done.returncode == 1  # no broker
    assert b"Traceback" not in done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("✓ ".encode() if env == {"LC_ALL": "C"} else b"ok "), first


def test_text_that_the_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    """No text is lost; `…` becomes three dots."""
    done = run("$A pipeline --file nö☃", tmp_path, PYTHONIOENCODING="latin-1")
    assert done.returncode == 2
    assert "no such file: nö\\u2603".encode("latin-1") in done.stderr


def test_argument_with_any_bytes_can_be_shown(tmp_path: Path) -> None:
    done = run(
        "$A pipeline --text \"$(printf 'cat \\377')\"; $A totals --top \"$(printf '\\377')\"", tmp_path
    )
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["settings", "schemas", "pipeline --format json", "pipeline", "doctor"])
def test_full_disk_is_one_error_and_status_1(tmp_path: Path, command: str) -> None:
    done = run(f"$A {command} > /dev/full", tmp_path)
    errors = [line for line in done.stderr.splitlines() if b"error:" in line]
    assert (done.returncode, len(errors)) == (1, 1), done.stderr
    assert b"cannot write the output: No space left on device" in errors[0]
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_are_not_an_error(tmp_path: Path, closed: str) -> None:
    done = run(f"$A pipeline {closed}", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"test case") == (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_log_lines_have_no_color_if_the_user_wants_none(tmp_path: Path, name: str, value: str) -> None:
    printed = on_a_terminal(tmp_path, **{"TERM": "xterm-256color", name: value})
    assert b"dictionary loaded" in printed
    assert b"\x1b[3" not in printed


def test_log_lines_are_colored_on_a_terminal(tmp_path: Path) -> None:
    assert b"\x1b[3" in on_a_terminal(tmp_path, TERM="xterm-256color")


def on_a_terminal(folder: Path, **env: str) -> bytes:
    """Return what a worker prints to its terminal until it exits for lack of a broker."""
    ours, theirs = pty.openpty()
    code = (
        "import stream.worker.startup as s; s.UNREACHABLE_S_MAX = 0.1;"
        "from stream.cli.main import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "worker", "--processes", "1"],
        env={**os.environ, **DOCTOR, "STREAM_STATE_DIR": str(folder), **env}, cwd=folder,
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    printed = b""
    try:
        while part := os.read(ours, 65536):
            printed += part
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    process.wait(60)
    return printed
