"""`top`: a live view in the terminal."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.live import Live

from stream.cli.app import out, settings, watch_cluster
from stream.cli.keys import keys
from stream.cli.shown import tables
from stream.cli.top_view import Rates, render
from stream.config import Settings
from stream.dictionary import load_index
from stream.errors import Refused
from stream.store.view import ViewStore
from stream.tools.kafka.cluster_watch import ClusterWatch
from stream.tools.serve.follower import Follower
from stream.tools.serve.group_poller import NOT_ASKED, GroupPoller
from stream.tools.serve.phases import read_phases
from stream.tools.serve.view import View
from stream.worker.startup import retry_while_unreachable

_STORE_BYTES_MAX = 64 * 1024 * 1024
_CURRENT_S_MAX = 60.0
_STEP_S = 0.2
_PRINTED_LINES = 40


def top(
    worker: Annotated[
        list[str] | None,
        typer.Option(help="URL of a worker's metrics; shows the share of time of each phase. Repeatable."),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between refreshes.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one snapshot and exit, as in a pipe.")] = False,
) -> None:
    """Show partitions, lag, rates, dead letters and the greatest totals live, until q or Ctrl-C.

    Reads the topics and changes nothing.
    """
    chosen = settings()
    index = load_index(chosen.dictionary)
    topics = chosen.count_topic, chosen.result_topic, chosen.dead_letter_topic
    watch = watch_cluster(chosen, *topics, say=lambda _: None)
    with tempfile.TemporaryDirectory(prefix="anagram-stream-top-") as folder:
        view = View(chosen, ViewStore(Path(folder), _STORE_BYTES_MAX))
        follower = retry_while_unreachable(
            chosen, lambda: Follower(chosen, view, only_new=[chosen.result_topic])
        )
        group = GroupPoller(chosen, worker or ())
        try:
            picture = _Picture(chosen, view, group, worker or [], index.anagrams)
            with watch.explained():
                if once or not out.is_terminal:
                    _print_once(picture, follower, watch, interval)
                else:
                    _show(picture, follower, watch, interval)
        except KeyboardInterrupt:
            return
        finally:
            group.close()
            follower.close()


class _Picture:
    """Renders what is shown, with the rates since the last refresh."""

    def __init__(
        self,
        chosen: Settings,
        view: View,
        group: GroupPoller,
        workers: list[str],
        words: Mapping[str, Sequence[str]],
    ) -> None:
        self._chosen = chosen
        self._view = view
        self._group = group
        self._workers = workers
        self._words = words
        self._rates = Rates()

    @property
    def is_known(self) -> bool:
        """Whether the lag of the group has been read."""
        return self._group.seen is not NOT_ASKED

    def take(self, width: int, height: int) -> RenderableType:
        """Return a renderable of the current state."""
        view = self._view
        outcomes = view.results + view.dead_letters.total()
        self._rates.add(time.monotonic(), view.totals.words, outcomes, read_phases(self._workers))
        return render(self._chosen, view, self._group.seen, self._rates, self._words, width, height)


def _show(picture: _Picture, follower: Follower, watch: ClusterWatch, interval: float) -> None:
    with keys() as pressed, Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            watch.check()
            follower.check()
            live.update(picture.take(out.width, out.height), refresh=True)
            if pressed.wait(interval) in {"q", "Q", "\x1b"}:
                return


def _print_once(picture: _Picture, follower: Follower, watch: ClusterWatch, interval: float) -> None:
    """Print one snapshot after everything committed has been read."""
    deadline = time.monotonic() + _CURRENT_S_MAX
    while follower.view.freshness(*follower.topics).age_s is None or not picture.is_known:
        watch.check()
        follower.check()
        if time.monotonic() >= deadline:
            raise Refused(
                f"the topics could not be read to their ends within {_CURRENT_S_MAX:.0f} s",
                "run the command again, or check the lag: anagram-stream lag",
            )
        time.sleep(_STEP_S)
    console = tables()
    picture.take(console.width, _PRINTED_LINES)
    time.sleep(interval)  # for the rates
    console.print(picture.take(console.width, _PRINTED_LINES))
