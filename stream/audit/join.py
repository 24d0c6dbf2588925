"""Input and outcomes of one partition, side by side, in bounded memory. Pure: records in, differences out.

Outcomes lie in the order of their input. A window of them is held, so that one that is out of order is
found and does not make all after it look lost.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from stream.audit.findings import Verdict
from stream.audit.judge import Judge
from stream.audit.outcome import Outcome
from stream.core.records import InputRecord
from stream.errors import Rejected

WINDOW_RECORDS = 2_000
WINDOW_BYTES = 64 * 1024 * 1024
MISSING_MAX = 100_000  # lost records that a late outcome may still explain


@dataclass(frozen=True, slots=True)
class Span:
    """One input partition, and how much of it is there and committed.

    Attributes:
        first: of the input's log; what was before is gone.
        committed: below it each record has exactly one outcome.
        end: below it each record has at most one; no outcome is of one beyond.
        results_cut: retention took results; before the first that is left none can be missed.
        letters_cut: the same of dead letters.
    """

    topic: str
    partition: int
    first: int
    committed: int
    end: int
    results_cut: bool = False
    letters_cut: bool = False

    def at(self, offset: int) -> str:
        """Name an input record, for people."""
        return f"{self.topic}, partition {self.partition}, offset {offset}"


class _Window:
    """Outcomes of one kind ahead of the input, by the offset that they are of."""

    def __init__(self, outcomes: Iterator[Outcome], span: Span, verdict: Verdict) -> None:
        self._outcomes = outcomes
        self._span = span
        self._verdict = verdict
        self._held: dict[int, list[Outcome]] = {}
        self._records = self._bytes = 0
        self._last = -1
        self.first: int | None = None  # the first offset that an outcome is of
        self.behind: list[tuple[int, Outcome]] = []  # of input that was passed already
        self.before = 0  # of input that is gone

    def take(self, offset: int) -> list[Outcome]:
        """Return the outcomes of an input record, reading on as far as the window goes."""
        while offset not in self._held and self._records < WINDOW_RECORDS and self._bytes < WINDOW_BYTES:
            if not self._pull(offset):
                break
        found = self._held.pop(offset, [])
        for outcome in found:
            self._records -= 1
            self._bytes -= len(outcome.record.value or b"")
        return found

    def rest(self) -> Iterator[tuple[int, Outcome]]:
        """Return what is left when the input is at its end."""
        while self._held or self._pull(self._span.end):
            for offset in sorted(self._held):
                yield from ((offset, outcome) for outcome in self.take(offset))
            yield from self.behind
            self.behind.clear()
        yield from self.behind
        self.behind.clear()

    def _pull(self, position: int) -> bool:
        outcome = next(self._outcomes, None)
        if outcome is None:
            return False
        span = self._span
        if outcome.source is None or outcome.source[0] != span.topic:
            self._verdict.differ("unknown", f"{outcome.where} names no record of {span.topic}")
            return True
        _, partition, offset = outcome.source
        if partition != span.partition:
            self._verdict.differ("misplaced", f"{outcome.where} is of partition {partition}, offset {offset}")
        elif offset >= span.end or offset < 0:
            self._verdict.differ(
                "unknown", f"{outcome.where} is of {span.at(offset)}, which is not committed or absent"
            )
        elif offset < span.first:
            self.before += 1
        else:
            outcome.late, self._last = offset < self._last, offset
            self.first = offset if self.first is None else self.first
            if offset < position:
                self.behind.append((offset, outcome))
            else:
                self._held.setdefault(offset, []).append(outcome)
                self._records += 1
                self._bytes += len(outcome.record.value or b"")
        return True


class Join:
    """Goes through the input of a partition and holds its outcomes against it; folds as it goes."""

    def __init__(
        self, span: Span, judge: Judge, results: Iterable[Outcome], letters: Iterable[Outcome]
    ) -> None:
        self.verdict = Verdict()
        self.fold: dict[str, int] = {}
        self._span = span
        self._judge = judge
        self._results = _Window(self._counted(results, "results"), span, self.verdict)
        self._letters = _Window(self._counted(letters, "dead_letters"), span, self.verdict)
        self._missing: dict[int, InputRecord] = {}
        self._gaps: list[tuple[int, int]] = []  # offsets without a record: markers, compaction
        self._next = span.first
        self._unseen = 0

    def _counted(self, outcomes: Iterable[Outcome], name: str) -> Iterator[Outcome]:
        for outcome in outcomes:
            setattr(self.verdict, name, getattr(self.verdict, name) + 1)
            yield outcome

    def input(self, record: InputRecord) -> None:
        """Take the next input record."""
        self._skip_to(record.offset)
        self._next = record.offset + 1
        outcomes = self._results.take(record.offset) + self._letters.take(record.offset)
        self._settle_behind()
        self.verdict.records += record.offset < self._span.committed
        expected = self._judge.expected(record)
        for extra in outcomes[1:]:
            self.verdict.differ(
                "duplicated", f"{extra.where} is one more outcome of {self._span.at(record.offset)}"
            )
        if outcomes:
            self._one(record, outcomes[0])
        elif record.offset < self._span.committed:
            self._none(record, rejected=isinstance(expected, Rejected))
        with_result = any(not outcome.letter for outcome in outcomes)
        if not isinstance(expected, Rejected) and (with_result or self._is_gone(record.offset, outcomes)):
            for key, grown in expected[1].deltas.items():
                self.fold[key] = self.fold.get(key, 0) + grown
            self.verdict.words += expected[1].words

    def finish(self) -> Verdict:
        """Settle what is left."""
        self._skip_to(self._span.end)
        self._next = self._span.end
        for window in (self._results, self._letters):
            for offset, outcome in window.rest():
                self._late(offset, outcome)
        for offset in self._missing:
            self.verdict.differ("lost", f"{self._span.at(offset)} is committed and has no outcome")
        for window, name in ((self._results, "results"), (self._letters, "dead letters")):
            if window.before:
                self.verdict.unchecked.append(
                    f"{window.before} {name} of {self._span.topic}, partition {self._span.partition}: "
                    f"their input, below offset {self._span.first}, is gone (retention)"
                )
        if self._unseen:
            self.verdict.unchecked.append(
                f"{self._unseen} records of {self._span.topic}, partition {self._span.partition}: their "
                "outcomes are gone (retention of the result or dead-letter topic)"
            )
        return self.verdict

    def _one(self, record: InputRecord, outcome: Outcome) -> None:
        if outcome.late:
            self.verdict.differ(
                "misplaced", f"{outcome.where} is out of order, of {self._span.at(record.offset)}"
            )
        complaint = self._judge.complaint(record, outcome, self._judge.expected(record))
        if complaint is not None:
            self.verdict.differ("wrong", f"{self._span.at(record.offset)}: {complaint} ({outcome.where})")

    def _none(self, record: InputRecord, *, rejected: bool) -> None:
        window, cut = (
            (self._letters, self._span.letters_cut) if rejected else (self._results, self._span.results_cut)
        )
        if cut and (window.first is None or record.offset < window.first):
            self._unseen += 1
        elif len(self._missing) < MISSING_MAX:
            self._missing[record.offset] = record
        else:
            self.verdict.differ("lost", f"{self._span.at(record.offset)} is committed and has no outcome")

    def _is_gone(self, offset: int, outcomes: list[Outcome]) -> bool:
        first = self._results.first
        return not outcomes and self._span.results_cut and (first is None or offset < first)

    def _settle_behind(self) -> None:
        for window in (self._results, self._letters):
            for offset, outcome in window.behind:
                self._late(offset, outcome)
            window.behind.clear()

    def _late(self, offset: int, outcome: Outcome) -> None:
        record = self._missing.pop(offset, None)
        if record is not None:
            outcome.late = True
            self._one(record, outcome)
            self._add_late(record, outcome)
        elif any(begin <= offset < end for begin, end in self._gaps):
            self.verdict.differ("unknown", f"{outcome.where} is of {self._span.at(offset)}, which is absent")
        else:
            self.verdict.differ(
                "duplicated", f"{outcome.where} is one more outcome of {self._span.at(offset)}"
            )

    def _add_late(self, record: InputRecord, outcome: Outcome) -> None:
        expected = self._judge.expected(record)
        if not outcome.letter and not isinstance(expected, Rejected):
            for key, grown in expected[1].deltas.items():
                self.fold[key] = self.fold.get(key, 0) + grown
            self.verdict.words += expected[1].words

    def _skip_to(self, offset: int) -> None:
        if offset > self._next and len(self._gaps) < MISSING_MAX:
            self._gaps.append((self._next, offset))


def compare_totals(fold: Mapping[str, int], has: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    """Yield signature, what it has, what the fold gives, where they differ."""
    for key in sorted({*fold, *has}):
        if has.get(key, 0) != fold.get(key, 0):
            yield key, has.get(key, 0), fold.get(key, 0)
