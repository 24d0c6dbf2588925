"""The display of the demo: a live view on a terminal, plain lines in a pipe."""

import heapq
from collections import deque
from collections.abc import Container, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream.cli.app import out, quantity

RESULTS_SHOWN = 8
TOTALS_SHOWN = 8
WORDS_SHOWN = 6


class View(Protocol):
    """Shows committed results and totals as they arrive."""

    def result(self, result: Mapping[str, Any]) -> None:
        """Add a committed result."""

    def tick(self, done: int, sent: int, totals: Mapping[str, int]) -> None:
        """Update the progress: `done` of `sent` blobs have an outcome; `totals` by signature."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def make_view(blobs: int, shown: Container[str], words: Mapping[str, Sequence[str]]) -> View:
    """Return the view for standard output; in a pipe only results of the blobs `shown` are printed.

    `words` are the dictionary words by signature.
    """
    return LiveView(blobs, words) if out.is_terminal else PlainView(blobs, shown)


def shortened(counts: Mapping[str, int]) -> str:
    """Return the most frequent words of a result, and the number of the others."""
    top = heapq.nsmallest(WORDS_SHOWN, counts.items(), key=lambda item: (-item[1], item[0]))
    more = len(counts) - len(top)
    return ", ".join(f"{word} {n}" for word, n in top) + (f" and {more} more" if more else "")


def top_totals(totals: Mapping[str, int]) -> list[tuple[str, int]]:
    return heapq.nsmallest(TOTALS_SHOWN, totals.items(), key=lambda item: (-item[1], item[0]))


class PlainView:
    """Prints the results of some blobs, and the progress, as lines."""

    def __init__(self, blobs: int, shown: Container[str]) -> None:
        self._blobs = blobs
        self._shown = shown
        self._tenths_reported = 0

    def result(self, result: Mapping[str, Any]) -> None:
        if result["blob_id"] in self._shown:
            out.print(
                f"{result['blob_id']}  {quantity(result['words'], 'word')}: "
                f"{shortened(result['anagram_counts'])}",
                markup=False,
            )

    def tick(self, done: int, sent: int, totals: Mapping[str, int]) -> None:
        tenth = 10 * done // max(1, self._blobs)
        if tenth > self._tenths_reported:
            self._tenths_reported = tenth
            top = ", ".join(f"{key} {total}" for key, total in top_totals(totals))
            out.print(f"{done} of {self._blobs} blobs committed ({sent} sent); running totals: {top}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class LiveView:
    """Shows the latest results and the greatest totals, redrawn as they change."""

    def __init__(self, blobs: int, words: Mapping[str, Sequence[str]]) -> None:
        self._words = words
        self._blobs = blobs
        self._results: deque[Mapping[str, Any]] = deque(maxlen=RESULTS_SHOWN)
        self._state = (0, 0, dict[str, int]())
        self._live = Live(get_renderable=self._draw, console=out, refresh_per_second=10)

    def result(self, result: Mapping[str, Any]) -> None:
        self._results.append(result)

    def tick(self, done: int, sent: int, totals: Mapping[str, int]) -> None:
        self._state = (done, sent, dict(top_totals(totals)))

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def _draw(self) -> RenderableType:
        done, sent, totals = self._state
        results = Table(box=None, expand=True, padding=(0, 1))
        results.add_column("blob", style="cyan", no_wrap=True, overflow="ellipsis", max_width=24)
        results.add_column("words", justify="right")
        results.add_column("anagram counts", no_wrap=True, overflow="ellipsis", ratio=1)
        for result in list(self._results):
            results.add_row(
                Text(result["blob_id"]), str(result["words"]), shortened(result["anagram_counts"])
            )
        table = Table(box=None, padding=(0, 1))
        table.add_column("signature", style="green")
        table.add_column("word")
        table.add_column("total", justify="right")
        for key, total in totals.items():
            table.add_row(key, self._words[key][0], f"{total:,}")
        panels = Table.grid(expand=True)
        panels.add_column(ratio=2)
        panels.add_column(ratio=1)
        panels.add_row(Panel(results, title="committed results"), Panel(table, title="running totals"))
        progress = Table.grid(expand=True, padding=(0, 1))
        progress.add_row(
            ProgressBar(total=self._blobs, completed=done),
            f"{done:,} of {self._blobs:,} committed, {sent:,} sent",
        )
        return Group(panels, progress)
