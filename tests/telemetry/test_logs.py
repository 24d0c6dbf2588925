"""Log lines of several processes that share a file, as under a supervisor."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

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
