"""One partition's input against its outcomes, side by side, and its totals against their fold. Pure.

Results lie on the partition of their input and in its order, so that a merge is enough: in memory are the
totals, which the dictionary bounds, and input records whose outcome has not come yet.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from stream.core.records import InputRecord
from stream.errors import Reason
from stream.tools.audit.judge import Judge
from stream.tools.audit.outcomes import Bounds, Letter, Result, StoreCopy, content_of
from stream.tools.audit.verdict import Verdict

Item = TypeVar("Item")
MISSING_MAX = 1_000_000  # input records without an outcome that are kept in mind, of a partition
MISSING_BYTES_MAX = 256 * 1024 * 1024


class _Ahead(Generic[Item]):
    """An iterator that is looked into before it is taken from."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._head = next(items, None)

    def while_(self, holds: Callable[[Item], bool]) -> Iterator[Item]:
        """Take items as long as the condition holds for the next."""
        while self._head is not None and holds(self._head):
            taken, self._head = self._head, next(self._items, None)
            yield taken


class PartitionJoin:
    """One partition, looked at further and further."""

    def __init__(self, partition: int, judge: Judge, verdict: Verdict) -> None:
        self._partition = partition
        self._judge = judge
        self._verdict = verdict
        self._missing: dict[int, InputRecord] = {}
        self._missing_bytes = 0
        self.unjudged = 0  # records whose outcome retention may have taken
        self._ahead: deque[tuple[int, Mapping[str, int]]] = (
            deque()
        )  # of input that the totals do not stand for yet
        self._last_source = -1
        self.fold: dict[str, int] = {}

    def advance(
        self,
        bounds: Bounds,
        inputs: Iterable[InputRecord],
        results: Iterator[Result],
        letters: Iterator[Letter],
        stores: Sequence[StoreCopy] = (),
    ) -> None:
        """Look at the next input records and outcomes, each in the order of their offsets.

        `letters` are in the order of their input. `stores` stand for input before `bounds.counted_to`.
        """
        waiting = deque(sorted(stores, key=lambda store: store.input_offset))
        ahead, letters_ahead = _Ahead(results), _Ahead(letters)
        for record in inputs:
            self._verdict.records += 1
            for result in ahead.while_(lambda each: self._is_due(each, record.offset, bounds)):  # noqa: B023
                self._late(result, bounds)
            for letter in letters_ahead.while_(lambda each: each.offset < record.offset):  # noqa: B023
                self._late_letter(letter, bounds)
            if not self._take_outcomes(record, ahead, letters_ahead):
                self._miss(record, bounds)
            self._fold(bounds.counted_to, waiting)
        for result in ahead.while_(lambda _: True):
            self._late(result, bounds)
        for letter in letters_ahead.while_(lambda _: True):
            self._late_letter(letter, bounds)
        self._ahead = deque(sorted(self._ahead, key=lambda each: each[0]))
        self._fold(bounds.counted_to, waiting)
        self._compare_stores(waiting, bounds.counted_to)
        for store in waiting:
            self._verdict.differ(
                "stores",
                f"{store.name} stands for input before {store.input_offset}, the count topic for input "
                f"before {bounds.counted_to}",
            )
        for offset in [offset for offset in self._missing if offset < bounds.committed]:
            if (lost := self._found(offset)) is not None:
                self._lose(lost, bounds)

    def _take_outcomes(
        self, record: InputRecord, results: "_Ahead[Result]", letters: "_Ahead[Letter]"
    ) -> int:
        """Take what there is of a record; return how many outcomes that is."""
        outcomes = 0
        for result in results.while_(lambda each: each.source == (self._partition, record.offset)):
            outcomes += 1
            self._take(record, result, outcomes)
        for letter in letters.while_(lambda each: each.offset == record.offset):
            outcomes += 1
            self._take_letter(record, letter, outcomes)
        return outcomes

    def _miss(self, record: InputRecord, bounds: Bounds) -> None:
        """Keep a record whose outcome has not come yet, while there is room."""
        if len(self._missing) < MISSING_MAX and self._missing_bytes < MISSING_BYTES_MAX:
            self._missing[record.offset] = record
            self._missing_bytes += len(record.value or b"")
        else:
            self._lose(record, bounds)

    def differing(self, totals: Mapping[bytes, bytes]) -> list[bytes]:
        """Return the signatures whose totals are not the fold."""
        keys = {*totals, *(key.encode() for key in self.fold)}
        return sorted(key for key in keys if totals.get(key, b"0") != self._expected(key))

    def _expected(self, key: bytes) -> bytes:
        return b"%d" % self.fold.get(key.decode(errors="replace"), 0)

    def compare(
        self, name: str, kind: str, totals: Mapping[bytes, bytes], but: Collection[bytes] = ()
    ) -> None:
        """Note every total that is not the fold, `but` those."""
        for key in self.differing(totals):
            if key in but:
                continue
            found, expected = totals.get(key, b"0"), self._expected(key)
            by = f", {int(found) - int(expected):+d}" if found.isdigit() else ""
            self._verdict.differ(
                kind,
                f"{name}: the total of {key.decode(errors='replace')} on partition {self._partition} is "
                f"{found.decode(errors='replace')}, the input gives {expected.decode()}{by}",
            )

    def _is_due(self, result: Result, offset: int, bounds: Bounds) -> bool:
        """Whether it speaks of nothing that is still to come."""
        partition, source = result.source
        return partition != self._partition or source < offset or source >= bounds.end

    def _take(self, record: InputRecord, result: Result, outcomes: int) -> None:
        self._verdict.results += 1
        if outcomes > 1:
            self._verdict.differ(
                "duplicated", f"{self._where(record.offset)} has {outcomes} outcomes, not one"
            )
            return
        self._in_order(result)
        expected = self._judge.of(record)
        if isinstance(expected, Reason):
            self._verdict.differ(
                "wrong",
                f"{self._where(record.offset)} has a result; it is to be rejected as {expected.value}",
            )
            return
        blob_id, decision = expected
        body = result.body
        if (
            body.get("anagram_counts") != decision.anagram_counts
            or body.get("words") != decision.words
            or body.get("blob_id") != blob_id
            or result.key != blob_id.encode()
        ):
            self._verdict.differ(
                "wrong", f"{self._where(record.offset)}: the result at {result.at} is not what its text gives"
            )
        self._verdict.words += decision.words
        self._ahead.append((record.offset, decision.deltas))

    def _take_letter(self, record: InputRecord, letter: Letter, outcomes: int) -> None:
        self._verdict.dead_letters += 1
        if outcomes > 1:
            self._verdict.differ(
                "duplicated", f"{self._where(record.offset)} has {outcomes} outcomes, not one"
            )
            return
        if letter.content not in {None, content_of(record.key, record.value)}:
            self._verdict.differ(
                "wrong", f"{self._where(record.offset)}: key or value of its dead letter are not the record's"
            )
            return
        if letter.reason in {Reason.RETRIES_EXHAUSTED.value, Reason.RESULT_TOO_LARGE.value}:
            return  # of the moment, or of the topic's limit at that time
        expected = self._judge.of(record)
        reason = expected.value if isinstance(expected, Reason) else "a result"
        if reason != letter.reason:
            self._verdict.differ(
                "wrong",
                f"{self._where(record.offset)} was rejected as {letter.reason}; to be expected is {reason}",
            )

    def _late(self, result: Result, bounds: Bounds) -> None:
        """Take a result whose input was passed already, or that speaks of none of ours."""
        partition, source = result.source
        if partition == self._partition and (record := self._found(source)) is not None:
            self._take(record, result, 1)
            return
        self._verdict.results += 1
        if partition != self._partition:
            self._verdict.differ(
                "misplaced",
                f"the result at {result.at} on partition {self._partition} is of partition {partition}",
            )
        elif bounds.first <= source < bounds.end and self._last_source >= source:
            self._verdict.differ("duplicated", f"{self._where(source)} has one more result, at {result.at}")
        elif source >= bounds.first:
            self._verdict.differ(
                "unknown",
                f"the result at {result.at} is of {self._where(source)}, which is not there or not committed",
            )

    def _late_letter(self, letter: Letter, bounds: Bounds) -> None:
        if (record := self._found(letter.offset)) is not None:
            self._take_letter(record, letter, 1)
            return
        self._verdict.dead_letters += 1
        if letter.offset >= bounds.first:
            self._verdict.differ(
                "unknown",
                f"a dead letter is of {self._where(letter.offset)}, which has another outcome, is not there "
                "or not committed",
            )

    def _in_order(self, result: Result) -> None:
        if result.source[1] < self._last_source:
            self._verdict.differ(
                "misplaced",
                f"the result at {result.at} of {self._where(result.source[1])} follows one of a later record",
            )
        self._last_source = max(self._last_source, result.source[1])

    def _fold(self, counted_to: int, stores: deque[StoreCopy]) -> None:
        """Add what the totals stand for, and compare stores on the way."""
        while self._ahead and self._ahead[0][0] < counted_to:
            offset, deltas = self._ahead.popleft()
            self._compare_stores(stores, offset)
            for key, grown in deltas.items():
                self.fold[key] = self.fold.get(key, 0) + grown

    def _compare_stores(self, stores: deque[StoreCopy], offset: int) -> None:
        """Compare those that stand for no input from `offset` on."""
        while stores and stores[0].input_offset <= offset:
            store = stores.popleft()
            self.compare(store.name, "stores", store.totals)

    def _found(self, offset: int) -> InputRecord | None:
        record = self._missing.pop(offset, None)
        if record is not None:
            self._missing_bytes -= len(record.value or b"")
        return record

    def _lose(self, record: InputRecord, bounds: Bounds) -> None:
        is_rejected = bounds.letters_cut and isinstance(self._judge.of(record), Reason)
        if record.offset < bounds.outcomes_from or is_rejected:
            self.unjudged += 1
        elif record.offset < bounds.committed:
            self._verdict.differ("lost", f"{self._where(record.offset)} has no outcome")

    def _where(self, offset: int) -> str:
        return f"input record {self._partition}:{offset}"
