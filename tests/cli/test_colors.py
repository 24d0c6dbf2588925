"""NO_COLOR, and terminals without colors."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.running import Outcome

COLOR = re.compile(r"\x1b\[[0-9;]*(3[0-9]|4[0-9]|9[0-7]|10[0-7])[0-9;]*m")
# A log line, an error with its hint, and help: everything that is colored.
LINK = {"STREAM_SERVICE_HOST": "10.0.0.1"}
COMMANDS = [("settings", "--current"), ("produce", "no-such-file"), ("worker", "--help")]


def on_terminal(folder: Path, *command: str, **environment: str) -> Outcome:
    base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    base.pop("NO_COLOR", None)
    end, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream", *command],
            env={**base, "TERM": "xterm-256color", **LINK, **environment},
            cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)
        text = b""
        try:
            while chunk := os.read(end, 65536):
                text += chunk
        except OSError:  # the terminal was closed by its last process
            pass
        return Outcome(process.wait(30), text.decode(), "")
    finally:
        os.close(end)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_terminal_gets_no_color_if_none_is_wanted(
    tmp_path: Path, command: tuple[str, ...], environment: dict[str, str]
) -> None:
    shown = on_terminal(tmp_path, *command, **environment).out
    assert shown
    assert not COLOR.search(shown)


def test_terminal_gets_colors_otherwise(tmp_path: Path) -> None:
    for command in COMMANDS:
        assert COLOR.search(on_terminal(tmp_path, *command).out)
    assert COLOR.search(on_terminal(tmp_path, "settings", "--current", NO_COLOR="").out), "empty means unset"
