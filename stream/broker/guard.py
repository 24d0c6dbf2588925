"""Keeps the broker from outliving the process that started it: `python -I -S guard.py`, run as a file.

The guard is a process between the two. It starts the broker and holds the read end of a pipe; only the parent
holds the write end. However the parent ends, even by SIGKILL, the kernel closes that end; the guard reads the
end of file and stops the broker. Simpler mechanisms are not enough:

- `PR_SET_PDEATHSIG` set by the parent itself fires when the *thread* that started the broker ends, needs code
  between fork and exec (unsafe with threads), works on Linux only, and kills without a clean shutdown;
- an `atexit` hook or a signal handler does not run on SIGKILL.

The guard leads its own session, so that Ctrl-C in the terminal reaches only the parent, which then stops the
broker cleanly. If the guard itself is killed, `PR_SET_PDEATHSIG` ends the broker on Linux; that is safe here
because the guard has one thread. A parent that forked (without exec) leaves copies of the write end behind;
therefore, the guard also checks that its parent process id is unchanged.

It imports only the standard library, and little of it: it starts in about 30 ms.

Standard input: `t` stops cleanly, `k` kills at once, end of file stops cleanly. Standard output: the broker's
process id on one line. Exit status: that of the broker, 128 + n if signal n ended it.
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

_CHECK_PARENT_S = 0.5
_TERMINATE, _KILL = b"t", b"k"
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the command until it ends, the parent stops it, or the parent has ended.

    Args:
        arguments: process id of the parent; time limit of a clean stop in seconds; a folder to delete if the
            parent has ended, or an empty string; then the command.
    """
    parent_pid, stop_timeout_s, scratch = int(arguments[0]), float(arguments[1]), arguments[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken = _wake_on_signals()
    broker = subprocess.Popen(
        arguments[3:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_death_signal(),  # noqa: PLW1509 - the guard has no other thread
    )
    with contextlib.suppress(OSError):  # the parent may have ended already: the loop below detects that
        os.write(1, b"%d\n" % broker.pid)
    orphaned = _watch(broker, parent_pid, stop_timeout_s, woken)
    if orphaned and scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    status = broker.wait()
    return status if status >= 0 else 128 - status


def _wake_on_signals() -> int:
    """Return a descriptor that becomes readable on SIGCHLD (the broker ended) or SIGTERM (stop the guard)."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for signum in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signum, lambda _signum, _frame: None)
    return readable


def _death_signal() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 - slow to import; needed on Linux only

    prctl, guard_pid = ctypes.CDLL(None).prctl, os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard_pid:  # the guard ended before the line above
            os._exit(1)

    return in_child


def _watch(broker: subprocess.Popen[bytes], parent_pid: int, stop_timeout_s: float, woken: int) -> bool:
    """Wait until the broker ends and carry out the parent's requests; return whether the parent has ended."""
    kill_at: float | None = None
    watched, orphaned = [0, woken], False
    while broker.poll() is None:  # terminates: the broker is killed at `kill_at` at the latest
        readable, _, _ = select.select(watched, [], [], _CHECK_PARENT_S)
        request = os.read(0, 1) if 0 in readable else b"-"
        if not request or os.getppid() != parent_pid:
            orphaned, watched = True, [woken]
        stopped = woken in readable and signal.SIGTERM in os.read(woken, 64)
        if request == _KILL or (kill_at is not None and monotonic() >= kill_at):
            broker.kill()
        elif kill_at is None and (request == _TERMINATE or orphaned or stopped):
            broker.terminate()
            kill_at = monotonic() + stop_timeout_s
    return orphaned


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
