import subprocess
import sys

import psutil
import pytest

from stream.tools.load_test.usage import Usage

BURN = """
import time
held = bytearray(64 << 20)
end = time.process_time() + {s}
while time.process_time() < end: pass
print(flush=True)
input()
"""


def burning(seconds: float, below: str = "") -> subprocess.Popen[bytes]:
    code = below or BURN.format(s=seconds)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_processor_time_and_memory_of_a_process_and_those_below_it() -> None:
    inner = BURN.format(s=0.3)
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with burning(0, outer) as process:
        assert process.stdout is not None
        process.stdout.readline()
        usage = Usage(lambda: [process.pid])
        assert usage.look() >= 0.28
        assert usage.peak_mib > 64
        process.communicate(b"\n")


def test_what_a_process_used_stays_when_it_is_gone() -> None:
    with burning(0.2) as process:
        assert process.stdout is not None
        process.stdout.readline()
        usage = Usage(lambda: [process.pid])
        used = usage.look()
        process.communicate(b"\n")
    assert not psutil.pid_exists(process.pid)
    assert usage.look() == used == pytest.approx(0.23, abs=0.12)
    usage.stop()
