"""What several views share."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn

from stream.cli.app import err, out

PIPE_WIDTH = 1_000  # a pipe has no width; a line is as long as it is


class _Display(Protocol):
    """Of rich: something that is redrawn between the two."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Shown:
    """What is on the terminal while it is entered."""

    def __init__(self, display: _Display, *, on: bool = True) -> None:
        self._display = display
        self._on = on

    def __enter__(self) -> Self:
        if self._on:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._display.stop()


def bar(*columns: ProgressColumn) -> Progress:
    """Return a bar on a terminal, silent in a pipe."""
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def tables() -> Console:
    """Return where tables go: standard output, however wide that is."""
    return out if out.is_terminal else Console(highlight=False, soft_wrap=True, width=PIPE_WIDTH)
