"""The downloads of the first run, and the display of their progress."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from platformdirs import user_cache_dir
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int], None]
"""Takes the number of bytes received since the last call; may be called from any thread."""

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Download:
    """A file or group of files to download."""

    name: str
    size_bytes: int


def cache_dir() -> Path:
    """Return the user's cache folder for downloads; create it if it is missing."""
    return Path(user_cache_dir("anagram-stream", ensure_exists=True))


@contextmanager
def shown(downloads: Sequence[Download], console: Console | None = None) -> Iterator[list[Advance]]:
    """Show the progress of all downloads; yield one `Advance` for each.

    A terminal shows one progress bar for each; otherwise one line is printed at the start and one at the end.
    """
    console = console or Console(stderr=True)
    show = _bars if console.is_terminal else _lines
    with show(downloads, console) as advances:
        yield advances


@contextmanager
def _bars(downloads: Sequence[Download], console: Console) -> Iterator[list[Advance]]:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        rows = [progress.add_task(download.name, total=download.size_bytes) for download in downloads]
        yield [partial(progress.advance, row) for row in rows]


@contextmanager
def _lines(downloads: Sequence[Download], console: Console) -> Iterator[list[Advance]]:
    named = " and ".join(f"{download.name} ({download.size_bytes / _MB:.0f} MB)" for download in downloads)
    print_line(f"downloading {named} for the first run", console)
    started = monotonic()
    yield [lambda _received: None for _ in downloads]
    print_line(f"downloaded in {monotonic() - started:.0f} s", console)


def print_line(line: str, console: Console | None = None) -> None:
    """Print a line on standard error."""
    (console or Console(stderr=True)).print(line, soft_wrap=True, highlight=False, markup=False)
