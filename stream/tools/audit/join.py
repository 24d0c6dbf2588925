"""Compares one partition's input with its outcomes, and its totals with the sum over its input. Pure.

Results are on the partition of their input and in its order, so a merge join suffices. Memory contains only
the totals, which the dictionary bounds, and the input records whose outcome has not been read yet.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from stream.core.decide import Decision
from stream.core.records import InputRecord
from stream.errors import Reason
from stream.tools.audit.expected import ExpectedOutcomes
from stream.tools.audit.outcomes import Bounds, DeadLetter, Result, StoreCopy, hash_content
from stream.tools.audit.verdict import Verdict

Item = TypeVar("Item")
PENDING_RECORDS_MAX = 1_000_000  # input records of a partition whose outcome has not been read yet
PENDING_BYTES_MAX = 256 * 1024 * 1024


class _Peekable(Generic[Item]):
    """An iterator whose next item can be checked before it is taken."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._head = next(items, None)

    def take_while(self, condition: Callable[[Item], bool]) -> Iterator[Item]:
        """Take items while the condition holds for the next one."""
        while self._head is not None and condition(self._head):
            taken, self._head = self._head, next(self._items, None)
            yield taken


class _Input(NamedTuple):
    """An input record, and the offset of the input record before it."""

    record: InputRecord
    previous: int


class PartitionJoin:
    """Compares the input of one partition with its outcomes, range by range.

    Attributes:
        fold: signature -> sum over the input that the totals cover.
    """

    def __init__(self, partition: int, expected: ExpectedOutcomes, verdict: Verdict) -> None:
        self.fold: dict[str, int] = {}
        self._partition = partition
        self._expected = expected
        self._verdict = verdict
        self._report = verdict.partition(partition)
        self._latest_offset = -1  # of the input record that was read last
        self._pending: dict[int, _Input] = {}  # offset -> record whose outcome has not been read yet
        self._pending_bytes = 0
        self._deltas = deque[tuple[int, Mapping[str, int]]]()  # of input that the totals do not cover yet
        self._last_source = -1  # input offset of the latest result

    def advance(
        self,
        bounds: Bounds,
        inputs: Iterable[InputRecord],
        results: Iterator[Result],
        dead_letters: Iterator[DeadLetter],
        stores: Sequence[StoreCopy] = (),
    ) -> None:
        """Compare the next input records with the next outcomes, each in the order of their offsets.

        `dead_letters` are in the order of their input. `stores` cover no input from `bounds.counted_to` on.
        """
        uncompared = deque(sorted(stores, key=lambda store: store.input_offset))
        next_results, next_dead_letters = _Peekable(results), _Peekable(dead_letters)
        for record in inputs:
            offset = record.offset
            self._report.records += 1
            each_input = _Input(record, self._latest_offset)
            self._latest_offset = offset
            for result in next_results.take_while(lambda each: self._is_past(each, offset, bounds)):  # noqa: B023
                self._compare_late_result(result, bounds)
            for dead_letter in next_dead_letters.take_while(lambda each: each.input_offset < offset):  # noqa: B023
                self._compare_late_dead_letter(dead_letter, bounds)
            if not self._compare_outcomes(each_input, next_results, next_dead_letters):
                self._await_outcome(each_input, bounds)
            self._fold(bounds.counted_to, uncompared)
        for result in next_results.take_while(lambda _: True):
            self._compare_late_result(result, bounds)
        for dead_letter in next_dead_letters.take_while(lambda _: True):
            self._compare_late_dead_letter(dead_letter, bounds)
        self._deltas = deque(sorted(self._deltas, key=lambda each: each[0]))
        self._fold(bounds.counted_to, uncompared)
        self._compare_stores(uncompared, bounds.counted_to)
        for store in uncompared:
            self._verdict.add_difference(
                "stores",
                f"{store.name} covers input before {store.input_offset}, but the count topic only covers "
                f"input before {bounds.counted_to}",
            )
            self._report.stores_compared += 1
        for offset in [offset for offset in self._pending if offset < bounds.committed]:
            if (without_outcome := self._pop_pending(offset)) is not None:
                self._add_without_outcome(without_outcome, bounds)
        report = self._report
        report.pending = len(self._pending)
        report.checked = report.records - report.skipped - report.not_checked - report.pending

    def _compare_outcomes(
        self, each_input: _Input, results: "_Peekable[Result]", dead_letters: "_Peekable[DeadLetter]"
    ) -> int:
        """Compare a record with its outcomes; return their number."""
        record, outcomes = each_input.record, 0
        for result in results.take_while(lambda each: each.source == (self._partition, record.offset)):
            outcomes += 1
            self._compare_result(each_input, result, outcomes)
        for dead_letter in dead_letters.take_while(lambda each: each.input_offset == record.offset):
            outcomes += 1
            self._compare_dead_letter(each_input, dead_letter, outcomes)
        return outcomes

    def _await_outcome(self, each_input: _Input, bounds: Bounds) -> None:
        """Keep a record until its outcome is read; above the limits, report it as lost at once.

        A skipped record has no outcome, but the totals may cover it.
        """
        offset = each_input.record.offset
        if offset < bounds.committed and any(offset in skipped for skipped in bounds.skipped):
            self._add_without_outcome(each_input, bounds)
        elif len(self._pending) < PENDING_RECORDS_MAX and self._pending_bytes < PENDING_BYTES_MAX:
            self._pending[each_input.record.offset] = each_input
            self._pending_bytes += len(each_input.record.value or b"")
        else:
            self._add_without_outcome(each_input, bounds)

    def differing(self, totals: Mapping[bytes, bytes]) -> list[bytes]:
        """Return the signatures whose totals differ from the sum over the input."""
        keys = {*totals, *(key.encode() for key in self.fold)}
        return sorted(key for key in keys if totals.get(key, b"0") != self._expected_total(key))

    def _expected_total(self, key: bytes) -> bytes:
        return b"%d" % self.fold.get(key.decode(errors="replace"), 0)

    def compare(
        self, name: str, kind: str, totals: Mapping[bytes, bytes], ignored: Collection[bytes] = ()
    ) -> None:
        """Add a difference for every total that differs from the sum, except for the `ignored` signatures."""
        for key in self.differing(totals):
            if key in ignored:
                continue
            total, expected = totals.get(key, b"0"), self._expected_total(key)
            difference = f" ({int(total) - int(expected):+d})" if total.isdigit() else ""
            self._verdict.add_difference(
                kind,
                f"{name}: the total of {key.decode(errors='replace')} on partition {self._partition} is "
                f"{total.decode(errors='replace')}, but the input sums to {expected.decode()}{difference}",
            )

    def _is_past(self, result: Result, offset: int, bounds: Bounds) -> bool:
        """Whether the input of a result is not among the records from `offset` on."""
        partition, source = result.source
        return partition != self._partition or source < offset or source >= bounds.end

    def _compare_result(self, each_input: _Input, result: Result, outcomes: int) -> None:
        self._report.results += 1
        record = each_input.record
        if outcomes > 1:
            self._differ("duplicated", each_input, f"{outcomes} outcomes instead of one", result)
            return
        self._check_order(each_input, result)
        expected = self._expected.of(record)
        if isinstance(expected, Reason):
            explanations = self._expected.explanations(record, expected)
            explained = next((each for each in explanations if _is_result_of(result, *each)), None)
            if explained is None:
                what = f"a result, but it must be rejected as {expected.value}"
                self._differ("wrong", each_input, what, result)
                return
            self._report.other_settings += 1
            expected = explained
        candidates = [expected, *self._expected.of_earlier_version(record)]
        if not any(_is_result_of(result, *each) for each in candidates):
            self._differ("wrong", each_input, "the result does not match its text", result)
        decision = expected[1]
        self._verdict.words += decision.words
        self._deltas.append((record.offset, decision.deltas))

    def _compare_dead_letter(self, each_input: _Input, dead_letter: DeadLetter, outcomes: int) -> None:
        self._report.dead_letters += 1
        record = each_input.record
        if outcomes > 1:
            self._differ("duplicated", each_input, f"{outcomes} outcomes instead of one")
            return
        if dead_letter.content_hash not in {None, hash_content(record.key, record.value)}:
            self._differ("wrong", each_input, "its dead letter has a different key or value")
            return
        if dead_letter.reason in {Reason.RETRIES_EXHAUSTED.value, Reason.RESULT_TOO_LARGE.value}:
            return  # depends on faults, or on the topic's limit at that time: cannot be recomputed
        expected = self._expected.of(record)
        reason = expected.value if isinstance(expected, Reason) else "a result"
        if reason == dead_letter.reason:
            return
        if self._expected.is_explained(record, dead_letter.reason, dead_letter.text_limit):
            self._report.other_settings += 1
        else:
            self._differ("wrong", each_input, f"rejected as {dead_letter.reason}; expected {reason}")

    def _compare_late_result(self, result: Result, bounds: Bounds) -> None:
        """Compare a result whose input was read before, or is not of this partition and range."""
        partition, source = result.source
        if partition == self._partition and (each_input := self._pop_pending(source)) is not None:
            self._compare_result(each_input, result, 1)
            return
        self._report.results += 1
        add, at_offset = self._verdict.add_input_difference, result.offset
        if partition != self._partition:
            what = f"its result is on partition {self._partition}"
            add("misplaced", partition, source, what, result_offset=at_offset)
        elif bounds.first <= source < bounds.end and self._last_source >= source:
            add("duplicated", partition, source, "another result", result_offset=at_offset)
        elif source >= bounds.first:
            what = "a result, but the input is missing or not committed"
            add("unknown", partition, source, what, result_offset=at_offset)

    def _compare_late_dead_letter(self, dead_letter: DeadLetter, bounds: Bounds) -> None:
        offset = dead_letter.input_offset
        if (each_input := self._pop_pending(offset)) is not None:
            self._compare_dead_letter(each_input, dead_letter, 1)
            return
        self._report.dead_letters += 1
        if offset >= bounds.first:
            what = "a dead letter, but the input has another outcome, is missing or is not committed"
            self._verdict.add_input_difference("unknown", self._partition, offset, what)

    def _check_order(self, each_input: _Input, result: Result) -> None:
        if result.source[1] < self._last_source:
            self._differ("misplaced", each_input, "its result follows a result of later input", result)
        self._last_source = max(self._last_source, result.source[1])

    def _fold(self, counted_to: int, stores: deque[StoreCopy]) -> None:
        """Add the deltas of input before `counted_to`; compare each store once the sum reaches its offset."""
        while self._deltas and self._deltas[0][0] < counted_to:
            offset, deltas = self._deltas.popleft()
            self._compare_stores(stores, offset)
            for key, increase in deltas.items():
                self.fold[key] = self.fold.get(key, 0) + increase

    def _compare_stores(self, stores: deque[StoreCopy], offset: int) -> None:
        """Compare the stores that cover no input at or after `offset`."""
        while stores and stores[0].input_offset <= offset:
            store = stores.popleft()
            self.compare(store.name, "stores", store.totals)
            self._report.stores_compared += 1

    def _pop_pending(self, offset: int) -> _Input | None:
        each_input = self._pending.pop(offset, None)
        if each_input is not None:
            self._pending_bytes -= len(each_input.record.value or b"")
        return each_input

    def _add_without_outcome(self, each_input: _Input, bounds: Bounds) -> None:
        record = each_input.record
        if record.offset >= bounds.committed:
            return
        skipped = next((skipped for skipped in bounds.skipped if record.offset in skipped), None)
        if skipped is not None:
            self._verdict.add_skipped(self._partition, record.offset, each_input.previous)
            expected = self._expected.of(record)
            if record.offset < skipped.counted_to and not isinstance(expected, Reason):
                self._deltas.append((record.offset, expected[1].deltas))
        elif record.offset < bounds.not_counted_from and (
            record.offset < bounds.outcomes_from
            or (bounds.dead_letters_truncated and isinstance(self._expected.of(record), Reason))
        ):
            self._report.not_checked += 1
        else:
            self._differ("lost", each_input, "no result and no dead letter")

    def _differ(self, kind: str, each_input: _Input, what: str, result: Result | None = None) -> None:
        self._verdict.add_input_difference(
            kind,
            self._partition,
            each_input.record.offset,
            what,
            previous=each_input.previous,
            result_offset=None if result is None else result.offset,
        )


def _is_result_of(result: Result, blob_id: str, decision: Decision) -> bool:
    body = result.body
    return (
        body.get("anagram_counts") == decision.anagram_counts
        and body.get("words") == decision.words
        and body.get("blob_id") == blob_id
        and result.key == blob_id.encode()
    )
