"""Types of the fixtures in conftest.py."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Spawn = Callable[..., "subprocess.Popen[bytes]"]
Put = Callable[..., None]
Stored = tuple[int, str | bytes | None, str | bytes | None, Sequence[tuple[str, bytes | None]]]


@dataclass(frozen=True)
class Outcome:
    """The result of a command."""

    status: int
    out: str
    err: str
    out_bytes: bytes = b""

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.lines]


class Cli(Protocol):
    """Runs a command in this process."""

    def __call__(self, *args: str, env: Mapping[str, str] | None = None, typed: bytes = b"") -> Outcome: ...
