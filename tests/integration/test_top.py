"""`anagram-stream top` on a real broker, in a pipe and on a terminal."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.process import WorkerProcess
from support.topics import produce, read, wait_until
from test_refusals import run

from stream.tools.child_environment import environment_without_settings

pytestmark = pytest.mark.broker
START_S_MAX, END_S_MAX = 30.0, 10.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture
def counted(stream_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    produce(stream_env, [(b"1", b"listen silent cat"), (b"2", b"stop"), (b"3", b"\xff")])
    with WorkerProcess(stream_env, tmp_path / "log"):
        wait_until(lambda: len(read(stream_env, "result") + read(stream_env, "dead-letter")) == 3, 60)
    return stream_env


def test_pipe_gets_one_picture(counted: dict[str, str]) -> None:
    shown = run(counted, "top", "--interval", "0.2")
    assert shown.returncode == 0, shown.stderr
    for text in (
        "lag 0",
        "partition",
        "eilnst",
        "enlist listen silent tinsel",
        "dead letters:",
        "undecodable 1",
    ):
        assert text in shown.stdout
    assert "\x1b" not in shown.stdout


def terminal(env: dict[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    mine, its = pty.openpty()
    environment = {
        **environment_without_settings(),
        **env,
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "24",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "stream", "top", "--interval", "0.3"],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
    )
    os.close(its)
    return process, mine


def read_until(mine: int, text: str) -> str:
    seen, deadline = "", time.monotonic() + START_S_MAX
    while text not in _CONTROL.sub("", seen):
        assert time.monotonic() < deadline, seen
        seen += os.read(mine, 65_536).decode(errors="replace")
    return _CONTROL.sub("", seen)


def drain(mine: int) -> None:
    """Read until the process has closed its side."""
    with contextlib.suppress(OSError):
        while os.read(mine, 65_536):
            pass


@pytest.mark.parametrize("how", ["q", "Ctrl-C"])
def test_terminal_shows_the_picture_until_the_user_quits(counted: dict[str, str], how: str) -> None:
    process, mine = terminal(counted)
    try:
        assert "eilnst" in read_until(mine, "undecodable 1")
        if how == "q":
            os.write(mine, b"q")
        else:
            process.send_signal(signal.SIGINT)
        drain(mine)
        assert process.wait(END_S_MAX) == 0
    finally:
        process.kill()
        process.wait()
        os.close(mine)


def test_missing_topics_are_one_clear_error(bare_env: dict[str, str]) -> None:
    failed = run(bare_env, "top")
    assert failed.returncode == 1
    assert "topics create" in failed.stderr
    assert "Traceback" not in failed.stderr
