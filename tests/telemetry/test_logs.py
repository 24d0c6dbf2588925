"""Log lines of several processes that share a file, as under a supervisor, and on a terminal."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import orjson
import pytest

from stream.telemetry.logs import wrap

LINES = 2000
FORKED = f"""
import os
import structlog
from stream.telemetry.logs import bind_everywhere, configure_logs

configure_logs("json")
process = int(os.fork() == 0)
bind_everywhere(process=process)
for number in range({LINES}):
    structlog.get_logger().info("an event", number=number)
if not process:
    os.wait()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_lines_of_two_processes_stay_whole(tmp_path: Path, unbuffered: str) -> None:
    path = tmp_path / "log"
    with path.open("ab") as log:
        env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        subprocess.run([sys.executable, "-c", FORKED], stderr=log, env=env, check=True)
    entries = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    for process in (0, 1):
        numbers = [entry["number"] for entry in entries if entry["process"] == process]
        assert numbers == list(range(LINES))


ON_A_TERMINAL = """
import structlog
from stream.telemetry.logs import configure_logs

configure_logs("auto")
log = structlog.get_logger().bind(group="anagram-counter", instance="worker-0-1234567890abcdef")
log.info("worker started")
log.info("partition running", partition=0, restored_records=1234567, seconds=0.123, input_offset=1234567890)
log.info("ready", running=4, assigned=4)
log.error("partition blocked", why="the count topic has too few partitions, so " * 5)
"""


def terminal_lines(columns: int) -> list[str]:
    """Return the lines that the script above prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    subprocess.run([sys.executable, "-c", ON_A_TERMINAL], stderr=theirs, check=True)
    os.close(theirs)
    printed = b""
    with contextlib.suppress(OSError):  # raised at the end of a terminal whose other side is closed
        while part := os.read(ours, 65536):
            printed += part
    os.close(ours)
    return printed.decode().splitlines()


def test_terminal_shows_one_line_per_event_and_constants_once() -> None:
    started, running, ready, *_ = terminal_lines(120)
    assert "group=anagram-counter" in started
    assert "instance=worker-0" in started
    assert "group=" not in running + ready
    assert "instance=" not in running + ready
    assert running.endswith("seconds=0.123")
    assert ready.endswith("ready: 4 of 4 partitions running")
    assert "\x1b" not in started  # colors only if the caller requests them


def test_long_line_is_broken_between_words() -> None:
    """Its words stay whole, and the lines after the first one are indented."""
    lines = terminal_lines(80)
    assert max(map(len, lines)) <= 80
    first = next(number for number, line in enumerate(lines) if "partition blocked" in line)
    assert len(lines) > first + 2
    assert all(line.startswith("    ") for line in lines[first + 1 :])
    assert (
        " ".join(line.strip() for line in lines[first:]).count("the count topic has too few partitions") == 5
    )


def test_word_that_is_wider_than_the_terminal_stays_whole() -> None:
    assert wrap("a " + "x" * 30 + " b", 10) == "a\n    " + "x" * 30 + "\n    b"
    assert wrap("\x1b[1mbold\x1b[0m plain", 10) == "\x1b[1mbold\x1b[0m plain"


def test_pipe_gets_every_field(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as log:
        subprocess.run([sys.executable, "-c", ON_A_TERMINAL], stderr=log, check=True)
    entries = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert {entry["group"] for entry in entries} == {"anagram-counter"}
    assert (entries[2]["event"], entries[2]["running"], entries[2]["assigned"]) == ("ready", 4, 4)
