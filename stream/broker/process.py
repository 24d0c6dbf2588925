"""A child process that is started and stopped by its guard process."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream.broker import guard
from stream.errors import Fatal

_STOP_TIMEOUT_S = 20.0  # a clean shutdown takes 1 to 2 s; then the guard kills the child
_MARGIN_S = 10.0


class GuardedProcess:
    """A child process that never outlives this process.

    Attributes:
        pid: process id of the child, not of the guard.
    """

    def __init__(  # noqa: PLR0913 - options of a child process
        self,
        command: Sequence[str],
        *,
        folder: Path,
        console: Path,
        scratch: Path | None = None,
        lock: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start the child.

        Args:
            command: the command to run.
            folder: its working directory.
            console: the file for its output.
            scratch: a folder that is deleted if this process ends first.
            lock: a descriptor that stays open as long as the child runs.
            env: its environment, by default that of this process.

        Raises:
            Fatal: the command could not be run.
        """
        arguments = [str(os.getpid()), str(_STOP_TIMEOUT_S), str(scratch or "")]
        # -I -S: a fast start, without site-packages and PYTHON* variables.
        python = [sys.executable, "-I", "-S", str(Path(guard.__file__))]
        with console.open("wb") as printed:
            self._guard = subprocess.Popen(
                [*python, *arguments, *command],
                bufsize=0,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                start_new_session=True,  # this process handles Ctrl-C in the terminal
                pass_fds=() if lock is None else (lock,),
                env=env,
            )
        assert self._guard.stdout is not None
        line = self._guard.stdout.readline()  # terminates: the guard writes a line, or exits
        if not line:
            self._guard.wait()
            self.close()
            raise Fatal(f"{command[0]} could not be run: {console.read_text(errors='replace')[-2000:]}")
        self.pid = int(line)

    def poll(self) -> int | None:
        """Return the exit status (128 + n after signal n), or None while the child runs."""
        return self._guard.poll()

    def stop(self) -> None:
        """Stop the child cleanly, with SIGKILL if that takes too long."""
        self._request(b"t")

    def kill(self) -> None:
        """Kill the child at once."""
        self._request(b"k")

    def _request(self, request: bytes) -> None:
        """Send a request to the guard, which knows whether the process id still belongs to the child."""
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the guard has already ended
            self._guard.stdin.write(request)
        try:
            self._guard.wait(_STOP_TIMEOUT_S + _MARGIN_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()  # this ends the child, too
            self._guard.wait()
        self.close()

    def close(self) -> None:
        """Close the pipes; the guard stops a child that still runs."""
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()
