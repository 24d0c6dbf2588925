"""The commands at the end of each runbook, run next to a worker that has counted."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import WorkerProcess
from support.topics import produce, read, wait_until

from stream.tools.child_environment import environment_without_settings

pytestmark = pytest.mark.broker
RUNBOOKS = Path(__file__).parents[2] / "ops" / "runbooks"


def last_commands(page: Path) -> list[str]:
    """Return the commands of the section `Check`."""
    _, _, section = page.read_text().partition("## Check\n")
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture
def counted(stream_env: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    for partition in (0, 1):
        produce(stream_env, [(None, "Listen, silent cat")] * 50, partition=partition)
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        wait_until(lambda: len(read(stream_env, "result")) == 100, 60)
        yield stream_env
        assert worker.stop() == 0


def test_commands_at_the_end_of_each_runbook_succeed(counted: dict[str, str], tmp_path: Path) -> None:
    pages = sorted(RUNBOOKS.glob("*.md"))
    commands = {page: last_commands(page) for page in pages}
    assert len(pages) >= 20
    for page, lines in commands.items():
        assert lines, page.name
        assert all(line.startswith("anagram-stream ") for line in lines), page.name
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**environment_without_settings(), **counted, "PATH": path}
    for line in sorted({line for lines in commands.values() for line in lines}):
        done = subprocess.run(
            ["sh", "-c", line], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
