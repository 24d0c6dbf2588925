"""`anagram-stream serve` as a process of a test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
from support.process import WorkerProcess
from support.topics import wait_until

START_S_MAX = 60.0
CURRENT_AGE_MS = 1_000


class ServeProcess(WorkerProcess):
    """A server on a free port, or on `port`; a `with` block starts and kills it."""

    def __init__(self, env: Mapping[str, str], log: Path, port: int = 0, *more: str) -> None:
        super().__init__(env, log, command=("-m", "stream", "serve", "--port", str(port), *more))

    @property
    def url(self) -> str:
        return str(self.events("serving")[-1]["url"])

    def wait_serving(self, times: int = 1) -> str:
        """Wait until it has started to serve `times` times; return its address."""
        self.wait_for("serving", START_S_MAX, times)
        return self.url

    def get(self, path: str) -> Any:
        return httpx2.get(self.url + path, timeout=10).json()

    def wait_current(self, seconds: float = 60) -> None:
        """Wait until it has read everything that is committed, and nothing is pending."""

        def is_current() -> bool:
            status = self.get("/v1/status")
            age_ms = status["freshness"]["age_ms"]
            return (
                age_ms is not None
                and age_ms < CURRENT_AGE_MS
                and all(p["lag"] == 0 for p in status["partitions"])
            )

        wait_until(is_current, seconds)
