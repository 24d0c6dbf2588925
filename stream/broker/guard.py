"""Keeps the broker from outliving the process that started it: `python -I -S guard.py`, run as a file.

The guard stands between the two. It starts the broker and holds the read end of a pipe whose only write end
is the parent's: whatever way the parent ends, SIGKILL too, the kernel closes that end, the guard reads the
end of the file and stops the broker. Why not less:

- `PR_SET_PDEATHSIG` set by the parent itself fires when the *thread* that started the broker ends, needs code
  between fork and exec (unsafe with threads), is Linux only, and kills without a clean shutdown;
- an `atexit` hook or a signal handler does not run on SIGKILL.

The guard leads a session of its own, so that a Ctrl-C in the terminal reaches the parent alone, which then
stops the broker in order. Should the guard itself be killed, `PR_SET_PDEATHSIG` ends the broker on Linux;
here it is safe, for the guard has one thread. A parent that forked (not exec'd) leaves copies of the write
end behind, so the guard also looks whether its parent is still the one that started it.

Only the standard library, and little of it: it starts in some 30 ms.

Standard input: `t` stop in order, `k` kill at once, end of file: stop in order. Standard output: the broker's
process id on one line. Exit status: the broker's, 128 + n when signal n ended it.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from time import monotonic

_LOOK_FOR_PARENT_S = 0.5
_TERMINATE, _KILL = b"t", b"k"
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the command until it ends, the parent asks for its end, or the parent is gone.

    Args:
        arguments: the parent's process id; seconds that an orderly stop may take; a folder to delete should
            the parent be gone, or nothing; then the command.
    """
    parent_pid, stop_timeout_s, scratch = int(arguments[0]), float(arguments[1]), arguments[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken = _wake_on_signals()
    broker = subprocess.Popen(
        arguments[3:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_dies_with_us(),  # noqa: PLW1509 - the guard has no other thread
    )
    with contextlib.suppress(OSError):  # the parent may be gone already: the loop below sees to it
        os.write(1, b"%d\n" % broker.pid)
    orphaned = _watch(broker, parent_pid, stop_timeout_s, woken)
    if orphaned and scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    status = broker.wait()
    return status if status >= 0 else 128 - status


def _wake_on_signals() -> int:
    """A descriptor that is readable once the broker ended (SIGCHLD) or somebody stops the guard (SIGTERM)."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for signum in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signum, lambda _signum, _frame: None)
    return readable


def _dies_with_us() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 - only where it is needed, it is slow to load

    prctl, guard_pid = ctypes.CDLL(None).prctl, os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard_pid:  # the guard was gone before the line above
            os._exit(1)

    return in_child


def _watch(broker: subprocess.Popen[bytes], parent_pid: int, stop_timeout_s: float, woken: int) -> bool:
    """Wait for the broker's end, passing on what the parent asks for; say whether the parent is gone."""
    kill_at: float | None = None
    watched, orphaned = [0, woken], False
    while broker.poll() is None:  # ends: with the broker, which gets SIGKILL at kill_at at the latest
        readable, _, _ = select.select(watched, [], [], _LOOK_FOR_PARENT_S)
        asked = os.read(0, 1) if 0 in readable else b"-"
        if not asked or os.getppid() != parent_pid:
            orphaned, watched = True, [woken]
        stopped = woken in readable and signal.SIGTERM in os.read(woken, 64)
        if asked == _KILL or (kill_at is not None and monotonic() >= kill_at):
            broker.kill()
        elif kill_at is None and (asked == _TERMINATE or orphaned or stopped):
            broker.terminate()
            kill_at = monotonic() + stop_timeout_s
    return orphaned


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
