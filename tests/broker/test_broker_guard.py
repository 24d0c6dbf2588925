import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from stream.broker import process
from stream.broker.locks import try_lock
from stream.broker.process import GuardedProcess
from stream.errors import Fatal

SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print('on', flush=True); time.sleep(60)",
]

# Starts a sleeper with a guard, prints its process id, and then runs what the test inserts.
PARENT = f"""
import os, sys, time
from pathlib import Path
from stream.broker.process import GuardedProcess
folder = Path(sys.argv[1])
lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
scratch = folder / "scratch"
scratch.mkdir()
child = GuardedProcess({SLEEPER!r}, folder=folder, console=folder / "console", scratch=scratch, lock=lock)
print(child.pid, flush=True)
{{then}}
"""
STAY = "time.sleep(60)"
LEAVE_A_COPY = "os.fork(); time.sleep(60)"
EXIT = "os._exit(0)"


def wait_until_gone(pid: int, timeout_s: float = 15) -> None:
    deadline = monotonic() + timeout_s
    while is_alive(pid):
        assert monotonic() < deadline, f"process {pid} is still running"
        sleep(0.02)


def is_alive(pid: int) -> bool:
    """Return whether the process is running; a zombie is not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return sys.platform != "linux"


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    descriptor = try_lock(tmp_path / "lock")
    assert descriptor is not None
    yield descriptor
    os.close(descriptor)


def guarded(command: list[str], folder: Path, lock: int) -> GuardedProcess:
    return GuardedProcess(command, folder=folder, console=folder / "console", scratch=None, lock=lock)


def test_stop_ends_the_child_cleanly(tmp_path: Path, lock: int) -> None:
    child = guarded(SLEEPER, tmp_path, lock)
    assert is_alive(child.pid)
    assert child.poll() is None
    child.stop()
    assert child.poll() == 128 + signal.SIGTERM
    assert not is_alive(child.pid)


def test_kill_ends_the_child_at_once(tmp_path: Path, lock: int) -> None:
    child = guarded(SLEEPER, tmp_path, lock)
    child.kill()
    assert child.poll() == 128 + signal.SIGKILL
    assert not is_alive(child.pid)


def test_a_child_that_does_not_stop_is_killed(
    tmp_path: Path, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_STOP_TIMEOUT_S", 0.3)
    child = guarded(STUBBORN, tmp_path, lock)
    deadline = monotonic() + 10
    while not (tmp_path / "console").read_text("utf-8"):
        assert monotonic() < deadline
        sleep(0.02)
    child.stop()
    assert child.poll() == 128 + signal.SIGKILL


def test_the_exit_status_is_that_of_the_child(tmp_path: Path, lock: int) -> None:
    child = guarded([sys.executable, "-c", "import sys; sys.exit('out of luck')"], tmp_path, lock)
    wait_until_gone(child.pid)
    child.stop()
    assert child.poll() == 1
    assert "out of luck" in (tmp_path / "console").read_text("utf-8")


def test_a_command_that_cannot_be_run_is_one_error(tmp_path: Path, lock: int) -> None:
    with pytest.raises(Fatal, match="No such file"):
        guarded([str(tmp_path / "away")], tmp_path, lock)


def test_signals_of_the_terminal_do_not_reach_the_child(tmp_path: Path, lock: int) -> None:
    child = guarded(SLEEPER, tmp_path, lock)
    assert os.getsid(child.pid) != os.getsid(0)
    child.kill()


def test_a_lock_is_held_as_long_as_the_child_runs(tmp_path: Path) -> None:
    descriptor = try_lock(tmp_path / "lock")
    assert descriptor is not None
    child = guarded(SLEEPER, tmp_path, descriptor)
    os.close(descriptor)
    assert try_lock(tmp_path / "lock") is None
    child.kill()
    freed = try_lock(tmp_path / "lock")
    assert freed is not None
    os.close(freed)


@pytest.mark.parametrize("then", [STAY, LEAVE_A_COPY, EXIT])
def test_a_child_does_not_outlive_its_parent(then: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(then=then), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        wait_until_gone(pid)
        deadline = monotonic() + 10
        while (tmp_path / "scratch").exists():
            assert monotonic() < deadline, "the temporary folder was not deleted"
            sleep(0.02)
        if then == LEAVE_A_COPY:
            os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child when its parent dies")
def test_a_child_does_not_outlive_its_guard(tmp_path: Path, lock: int) -> None:
    child = guarded(SLEEPER, tmp_path, lock)
    child._guard.kill()
    wait_until_gone(child.pid)
    child.stop()
