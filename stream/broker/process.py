"""A child process, seen through its guard."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream.broker import guard
from stream.errors import Fatal

_STOP_TIMEOUT_S = 20.0  # a clean shutdown takes a second or two; after this the guard kills
_MARGIN_S = 10.0


class GuardedProcess:
    """A child that ends when asked to, and at the latest when this process ends.

    Attributes:
        pid: the child's, not the guard's.
    """

    def __init__(  # noqa: PLR0913 - what a child is given
        self,
        command: Sequence[str],
        *,
        folder: Path,
        console: Path,
        scratch: Path | None = None,
        lock: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            command: what to run.
            folder: where to run it.
            console: takes what it prints.
            scratch: deleted should this process end first.
            lock: a descriptor that stays open as long as the child runs.
            env: its environment; ours where there is none.
        """
        arguments = [str(os.getpid()), str(_STOP_TIMEOUT_S), str(scratch or "")]
        # -I -S: no site-packages, no PYTHON* settings: quick, and nothing gets in the way.
        python = [sys.executable, "-I", "-S", str(Path(guard.__file__))]
        with console.open("wb") as printed:
            self._guard = subprocess.Popen(
                [*python, *arguments, *command],
                bufsize=0,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
                pass_fds=() if lock is None else (lock,),
                env=env,
            )
        assert self._guard.stdout is not None
        line = self._guard.stdout.readline()  # ends: the guard writes it, or ends and so closes the pipe
        if not line:
            self._guard.wait()
            self.close()
            raise Fatal(f"{command[0]} could not be run: {console.read_text(errors='replace')[-2000:]}")
        self.pid = int(line)

    def poll(self) -> int | None:
        """Exit status, 128 + n after signal n; None while it runs."""
        return self._guard.poll()

    def stop(self) -> None:
        """End it in order; SIGKILL when that takes too long."""
        self._ask(b"t")

    def kill(self) -> None:
        """End it at once."""
        self._ask(b"k")

    def _ask(self, what: bytes) -> None:
        """Through the guard, which knows whether the process id is still the broker's."""
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            self._guard.stdin.write(what)
        try:
            self._guard.wait(_STOP_TIMEOUT_S + _MARGIN_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()  # takes the broker with it
            self._guard.wait()
        self.close()

    def close(self) -> None:
        """Let go of the pipes; what still runs is stopped by the guard."""
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()
