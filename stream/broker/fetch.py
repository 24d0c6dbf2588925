"""What is fetched on the first run, and the one display that shows it."""

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
"""Takes the bytes that came in since the last call; may be called from any thread."""

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Download:
    """One thing to fetch: its name for people and its bytes."""

    name: str
    size_bytes: int


def cache_dir() -> Path:
    """The user's cache of what was fetched, made if need be."""
    return Path(user_cache_dir("anagram-stream", ensure_exists=True))


@contextmanager
def shown(downloads: Sequence[Download], console: Console | None = None) -> Iterator[list[Advance]]:
    """Show the progress of all downloads: yields for each what to call as its bytes come in.

    On a terminal one display with a row each; elsewhere a line at the start and one at the end.
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
    say(f"fetching {named}, once", console)
    started = monotonic()
    yield [lambda _received: None for _ in downloads]
    say(f"fetched in {monotonic() - started:.0f} s", console)


def say(line: str, console: Console | None = None) -> None:
    """One line on standard error."""
    (console or Console(stderr=True)).print(line, soft_wrap=True, highlight=False, markup=False)
