"""A worker process of a test, without a guard as parent: exit status and signals are the worker's own."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from support.topics import wait_until

from stream.tools import worker_process
from stream.tools.child_environment import environment_without_settings

COMMAND = worker_process.COMMAND
STOP_S_MAX = 30.0


class UnguardedProcess(subprocess.Popen[bytes]):
    """A process whose log continues across all starts."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, console: Path, env: Mapping[str, str]
    ) -> None:
        with console.open("ab") as log:
            super().__init__(command, env=env, stdout=log, stderr=log, cwd=folder)

    def kill(self) -> None:
        super().kill()
        self.wait(10)

    def stop(self) -> None:
        if self.poll() is None:
            self.terminate()
        self.wait(STOP_S_MAX)

    def close(self) -> None:
        pass


class WorkerProcess(worker_process.WorkerProcess):
    """A worker with the settings of a test; a `with` block starts and kills it."""

    def __init__(self, env: Mapping[str, str], log: Path, command: Sequence[str] = COMMAND) -> None:
        env = {**environment_without_settings(), **env}
        super().__init__(env, log, command=command, folder=log.parent, launch=UnguardedProcess)

    @property
    def process(self) -> UnguardedProcess:
        assert isinstance(self._process, UnguardedProcess)
        return self._process

    def wait_for(self, event: str, seconds: float = 60, times: int = 1) -> None:
        def seen() -> bool:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            return len(self.events(event)) >= times

        wait_until(seen, seconds, every=0.05)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_running:
            self.signal(signal.SIGCONT)
        self.kill()
        if error is not None:
            print(self.log.name, self.log.read_text()[-20_000:], sep="\n")  # noqa: T201 - shown with the failure
