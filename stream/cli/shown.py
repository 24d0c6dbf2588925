"""What several views share: displays on a terminal, and the console for tables."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn

from stream.cli.app import err, out

PIPE_WIDTH = 1_000  # for pipes, so that lines are not wrapped


class _Display(Protocol):
    """A display of rich that is redrawn between `start` and `stop`."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Shown:
    """Shows a display on the terminal inside a `with` block."""

    def __init__(self, display: _Display, *, on: bool = True) -> None:
        self._display = display
        self._on = on

    def __enter__(self) -> Self:
        if self._on:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.stop()


def bar(*columns: ProgressColumn) -> Progress:
    """Return a progress bar that is shown on a terminal only."""
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def tables() -> Console:
    """Return the console for tables: standard output, very wide if it is a pipe."""
    return out if out.is_terminal else Console(highlight=False, soft_wrap=True, width=PIPE_WIDTH)
