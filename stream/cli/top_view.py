"""Renders the view of `top` for a given width and height."""

from collections import deque
from collections.abc import Mapping, Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream.cli.app import quantity
from stream.cli.listing import cut_list
from stream.config import Settings
from stream.core.text import printable
from stream.tools.serve.group_poller import GroupSeen
from stream.tools.serve.view import View

_BARS = "▁▂▃▄▅▆▇█"
_SPARK_CELLS = 40
_OTHER_ROWS = 12  # lines that are not rows of a table
_LEAST_ROWS = 3
_WORDS_CELLS_MIN = 12
_MINUTE_S = 60


class Rates:
    """Rates of words and blobs between refreshes, and the share of each phase of a batch."""

    def __init__(self) -> None:
        self.words: deque[float] = deque(maxlen=_SPARK_CELLS)
        self.blobs = 0.0
        self.phases: Mapping[str, float] = {}
        self._before: tuple[float, int, int, Mapping[str, float]] | None = None

    def add(self, now_s: float, words: int, outcomes: int, phases: Mapping[str, float]) -> None:
        """Add the current numbers; `phases` are in seconds."""
        if self._before is not None:
            before_s, before_words, before_outcomes, before_phases = self._before
            seconds = max(now_s - before_s, 0.001)
            self.words.append(max(0.0, (words - before_words) / seconds))
            self.blobs = max(0.0, (outcomes - before_outcomes) / seconds)
            spent = {name: max(0.0, s - before_phases.get(name, 0.0)) for name, s in phases.items()}
            total = sum(spent.values())
            self.phases = {name: s / total for name, s in spent.items()} if total else {}
        self._before = now_s, words, outcomes, phases

    def sparkline(self) -> str:
        """Return the words/s as bars, the newest on the right."""
        greatest = max(self.words, default=0.0)
        if not greatest:
            return ""
        return "".join(_BARS[min(len(_BARS) - 1, int(rate / greatest * len(_BARS)))] for rate in self.words)


def render(  # noqa: PLR0913, PLR0917 - what is shown, and on how much space
    chosen: Settings,
    view: View,
    seen: GroupSeen,
    rates: Rates,
    words: Mapping[str, Sequence[str]],
    width: int,
    height: int,
) -> RenderableType:
    """Return the view; on a short terminal the tables have fewer rows."""
    rows = max(_LEAST_ROWS, height - _OTHER_ROWS)
    shown_lags = min(len(seen.lags), max(_LEAST_ROWS, rows // 2))
    parts: list[RenderableType] = [
        _headline(chosen, view, seen),
        _rate_line(rates, view),
        *([_phases(rates.phases)] if rates.phases else []),
        Text(),
        _partitions(seen, shown_lags),
        Text(),
        _totals(view, words, max(_LEAST_ROWS, rows - shown_lags), width),
        Text(),
        _dead_letters(view),
    ]
    return Group(*parts)


def _headline(chosen: Settings, view: View, seen: GroupSeen) -> Text:
    lag = sum(each.lag for each in seen.lags)
    group = seen.group
    state = "unknown" if group is None else f"{group.state}, {quantity(len(group.members), 'member')}"
    age_s = view.freshness(chosen.count_topic).age_s
    line = Text.assemble((chosen.group_id, "bold"), f": {state}, ")
    line.append(f"lag {lag:,}", "yellow" if lag else "green")
    line.append("   reading …" if age_s is None else f"   totals as of {age_s:.1f} s ago", "dim")
    if seen.group is None and seen.unknown:
        line.append(f"\n{printable(seen.unknown)}", "yellow")
    return line


def _rate_line(rates: Rates, view: View) -> Text:
    now = rates.words[-1] if rates.words else 0.0
    line = Text.assemble((f"{now:,.0f}", "bold"), " words/s  ", (f"{rates.blobs:,.0f}", "bold"), " blobs/s  ")
    line.append(f"{view.totals.words:,} words in total  ", "dim")
    line.append(rates.sparkline(), "cyan")
    return line


def _phases(phases: Mapping[str, float]) -> Text:
    shares = sorted(phases.items(), key=lambda item: -item[1])
    return Text("phases: " + ", ".join(f"{name} {share:.0%}" for name, share in shares), "dim")


def _partitions(seen: GroupSeen, rows: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("partition", "lag", "age", "end"):
        table.add_column(name, justify="right")
    table.add_column("worker", no_wrap=True)
    lags = sorted(seen.lags, key=lambda each: (-each.lag, each.partition))  # the greatest lag first
    for each in lags[:rows]:
        worker = Text("none", "red") if each.member is None else Text(printable(each.member.client_id))
        cells = (str(each.partition), f"{each.lag:,}", _age(each.age_s), f"{each.stable:,}", worker)
        table.add_row(*cells, style="yellow" if each.lag else "")
    if len(lags) > rows:
        table.add_row("", "", "", "", Text(f"and {quantity(len(lags) - rows, 'more partition')}", "dim"))
    return table


def _totals(view: View, words: Mapping[str, Sequence[str]], rows: int, width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("signature", no_wrap=True)
    table.add_column("total", justify="right")
    table.add_column("dictionary words", no_wrap=True)
    top = view.totals.top(rows)
    widest = max((len(each.signature) for each in top), default=9)
    cells = max(_WORDS_CELLS_MIN, width - max(9, widest) - 20)
    for each in top:
        anagrams = " ".join(words.get(each.signature, ())) or "(not in the dictionary)"
        table.add_row(printable(each.signature), f"{each.total:,}", cut_list(anagrams, cells))
    return table


def _dead_letters(view: View) -> RenderableType:
    if not view.dead_letters:
        return Text("no dead letters", "green")
    reasons = [Text(f"{reason} {number:,}", "red") for reason, number in view.dead_letters.most_common()]
    return Columns([Text("dead letters:", "dim"), *reasons], padding=(0, 2))


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < _MINUTE_S else f"{seconds / _MINUTE_S:.0f} min"
