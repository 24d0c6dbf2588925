import subprocess
import sys

import psutil
import pytest

from stream.tools.load_test.resource_usage import ResourceUsage

BURN = """
import time
memory = bytearray(64 << 20)
end = time.process_time() + {s}
while time.process_time() < end: pass
print(flush=True)
input()
"""


def burning(seconds: float, below: str = "") -> subprocess.Popen[bytes]:
    code = below or BURN.format(s=seconds)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_usage_includes_child_processes() -> None:
    inner = BURN.format(s=0.3)
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with burning(0, outer) as process:
        assert process.stdout is not None
        process.stdout.readline()
        usage = ResourceUsage(lambda: [process.pid])
        assert usage.sample() >= 0.28
        assert usage.peak_mib > 64
        process.communicate(b"\n")


def test_processor_time_of_an_exited_process_is_kept() -> None:
    with burning(0.2) as process:
        assert process.stdout is not None
        process.stdout.readline()
        usage = ResourceUsage(lambda: [process.pid])
        used = usage.sample()
        process.communicate(b"\n")
    assert not psutil.pid_exists(process.pid)
    assert usage.sample() == used == pytest.approx(0.23, abs=0.12)
    usage.stop()
