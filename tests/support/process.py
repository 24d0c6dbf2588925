"""A worker as a process of its own, as users run it."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from support.topics import wait_until

COMMAND = ("-m", "stream", "worker")


class WorkerProcess:
    """`anagram-stream worker` with an environment; its log lines are kept."""

    def __init__(self, env: dict[str, str], log: Path, command: Sequence[str] = COMMAND) -> None:
        self.env = env
        self.command = command
        self.log = log
        self.log.touch()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.command],
                env={**base, **self.env},
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
            )
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event, over all starts."""
        found = []
        for line in self.log.read_bytes().splitlines(keepends=True):
            if line.startswith(b"{") and line.endswith(b"\n"):  # the last may still be on its way
                entry = orjson.loads(line)
                if entry["event"] == name:
                    found.append(entry)
        return found

    def wait_for(self, event: str, seconds: float = 60, times: int = 1) -> None:
        def seen() -> bool:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            return len(self.events(event)) >= times

        wait_until(seen, seconds, every=0.05)

    def kill(self) -> None:
        """kill -9"""
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM; return the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(seconds)

    def wait(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(10)
        if error is not None:
            print(self.log.name, self.log.read_text()[-20_000:], sep="\n")  # noqa: T201 - shown with the failure
