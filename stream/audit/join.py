"""One partition's input against its outcomes, side by side, and its totals against their fold. Pure.

Results lie on the partition of their input and in its order, so that a merge is enough: in memory are the
totals, which the dictionary bounds, and input records whose outcome has not come yet.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from stream.audit.verdict import Verdict
from stream.core.codec import decode_blob
from stream.core.decide import Decider, Decision
from stream.core.dictionary import AnagramIndex
from stream.core.records import InputRecord
from stream.errors import Reason, Rejected

MISSING_MAX = 1_000_000  # input records without an outcome that are kept in mind, of a partition
TEXTS_KEPT = 4_096
TEXT_KEPT_CHARS = 4_096


@dataclass(frozen=True, slots=True)
class Result:
    """A committed result: where it lies and what it says. `source` is its input's partition and offset."""

    at: int
    source: tuple[int, int]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """A committed dead letter of this partition's input.

    Attributes:
        content: `content_of` its key and value; None where they were shortened.
    """

    offset: int
    reason: str
    content: int | None


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """What a store holds, and the input offset that it stands for."""

    name: str
    input_offset: int
    totals: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a partition is looked at.

    Attributes:
        first: where its input begins.
        committed: up to here every input record has an outcome among those given.
        end: outcomes speak of input before this.
        counted_to: up to here the totals stand.
    """

    first: int
    committed: int
    end: int
    counted_to: int


class Judge:
    """What the core makes of a record: counts, or the reason why not. Equal texts are counted once."""

    def __init__(
        self, index: AnagramIndex, input_format: Literal["text", "json"], text_bytes_max: int
    ) -> None:
        self._decide = Decider(index).decide
        self._input_format = input_format
        self._text_bytes_max = text_bytes_max
        self._known: dict[str, Decision] = {}

    def of(self, record: InputRecord) -> tuple[str, Decision] | Reason:
        """Return blob id and counts, or why the record is rejected."""
        try:
            blob = decode_blob(record, self._input_format, self._text_bytes_max)
        except Rejected as why:
            return why.reason
        known = self._known.get(blob.text)
        if known is None:
            known = self._decide(blob.text)
            if len(blob.text) <= TEXT_KEPT_CHARS:
                if len(self._known) >= TEXTS_KEPT:
                    self._known.clear()
                self._known[blob.text] = known
        return blob.blob_id, known


class PartitionJoin:
    """One partition, looked at further and further."""

    def __init__(self, partition: int, judge: Judge, verdict: Verdict) -> None:
        self._partition = partition
        self._judge = judge
        self._verdict = verdict
        self._missing: dict[int, InputRecord] = {}
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
        result, letter = next(results, None), next(letters, None)
        for record in inputs:
            self._verdict.records += 1
            while result is not None and self._is_due(result, record.offset, bounds):
                self._late(result, bounds)
                result = next(results, None)
            while letter is not None and letter.offset < record.offset:
                self._late_letter(letter, bounds)
                letter = next(letters, None)
            outcomes = 0
            while result is not None and result.source == (self._partition, record.offset):
                outcomes += 1
                self._take(record, result, outcomes)
                result = next(results, None)
            while letter is not None and letter.offset == record.offset:
                outcomes += 1
                self._take_letter(record, letter, outcomes)
                letter = next(letters, None)
            if not outcomes and len(self._missing) < MISSING_MAX:
                self._missing[record.offset] = record
            self._fold(bounds.counted_to, waiting)
        while result is not None:
            self._late(result, bounds)
            result = next(results, None)
        while letter is not None:
            self._late_letter(letter, bounds)
            letter = next(letters, None)
        self._ahead = deque(sorted(self._ahead, key=lambda each: each[0]))
        self._fold(bounds.counted_to, waiting)
        self._compare_stores(waiting, bounds.counted_to)
        for store in waiting:
            self._verdict.differ(
                "stores",
                f"{store.name} stands for input before {store.input_offset}, the count topic for input "
                f"before {bounds.counted_to}",
            )
        self._lose(bounds)

    def compare(self, name: str, kind: str, totals: Mapping[bytes, bytes]) -> list[bytes]:
        """Compare totals with the fold; return the signatures that differ."""
        differ = []
        for key in sorted(self.fold.keys() | {key.decode(errors="replace") for key in totals}):
            found, expected = totals.get(key.encode(), b"0"), b"%d" % self.fold.get(key, 0)
            if found != expected:
                differ.append(key.encode())
                by = f", {int(found) - int(expected):+d}" if found.isdigit() else ""
                self._verdict.differ(
                    kind,
                    f"{name}: the total of {key} on partition {self._partition} is {found.decode()}, "
                    f"the input gives {expected.decode()}{by}",
                )
        return differ

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
        if partition == self._partition and (record := self._missing.pop(source, None)) is not None:
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
        if (record := self._missing.pop(letter.offset, None)) is not None:
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

    def _lose(self, bounds: Bounds) -> None:
        for offset in [offset for offset in self._missing if offset < bounds.committed]:
            del self._missing[offset]
            self._verdict.differ("lost", f"{self._where(offset)} has no outcome")

    def _where(self, offset: int) -> str:
        return f"input record {self._partition}:{offset}"


def content_of(key: bytes | None, value: bytes | None) -> int:
    """Return a number for a record's key and value: equal ones have the same, within this process."""
    return hash((key, value))


def read_result(at: int, value: bytes | None) -> Result | None:
    """Read a result; None where it is not one."""
    try:
        body = orjson.loads(value or b"")
        source = body["source"]
        return Result(at, (int(source["partition"]), int(source["offset"])), body)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
