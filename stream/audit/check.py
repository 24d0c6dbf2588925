"""Does what came out belong to what went in? Pure: records in, differences out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from stream.core.codec import decode_blob
from stream.core.counts import merge
from stream.core.decide import Decider, Decision
from stream.core.dictionary import AnagramIndex
from stream.core.records import InputRecord
from stream.errors import Rejected

DIFFERENCES_MAX = 20  # said one by one; the rest is counted

At = tuple[int, int]
"""Partition and offset of an input record."""


class Record(Protocol):
    """What is looked at of a committed record."""

    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]: ...  # noqa: D102


@dataclass(slots=True)
class Verdict:
    """What the audit found.

    Attributes:
        records: input records looked at.
        words: in those with a result.
        results: results seen.
        dead_letters: dead letters seen.
        differences: sentences, at most `DIFFERENCES_MAX`.
        different: how many differences there are.
    """

    records: int = 0
    words: int = 0
    results: int = 0
    dead_letters: int = 0
    differences: list[str] = field(default_factory=list)
    different: int = 0

    @property
    def holds(self) -> bool:
        """Whether every record has exactly one outcome, each is right, and the totals are their fold."""
        return not self.different

    def differ(self, sentence: str) -> None:
        """Note a difference."""
        self.different += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(sentence)


class Audit:
    """Holds results, dead letters and totals against the input, given in any order."""

    def __init__(self, index: AnagramIndex, input_format: Any, text_bytes_max: int) -> None:  # noqa: ANN401
        self._decide = Decider(index).decide
        self._input_format = input_format
        self._text_bytes_max = text_bytes_max
        self._results: dict[At, list[Mapping[str, Any]]] = {}
        self._dead_letters: Counter[At] = Counter()
        self._last_totals: dict[tuple[int, bytes], int] = {}
        self._deltas: dict[int, dict[str, int]] = {}
        self._seen: set[At] = set()
        self.verdict = Verdict()

    def result(self, record: Record) -> None:
        """Take a committed result."""
        value = orjson.loads(record.value or b"null")
        at = value["source"]["partition"], value["source"]["offset"]
        self._results.setdefault(at, []).append(value)
        self.verdict.results += 1

    def dead_letter(self, record: Record) -> None:
        """Take a committed dead letter."""
        named = dict(record.headers)
        partition = int(named["__streams.errors.partition"] or b"")
        self._dead_letters[partition, int(named["__streams.errors.offset"] or b"")] += 1
        self.verdict.dead_letters += 1

    def total(self, record: Record) -> None:
        """Take a committed record of the count topic, in the order of its partition."""
        self._last_totals[record.partition, record.key or b""] = int(record.value or b"0")

    def input(self, record: InputRecord) -> None:
        """Take an input record; after all results and dead letters."""
        at = record.partition, record.offset
        self._seen.add(at)
        self.verdict.records += 1
        results, letters = self._results.pop(at, []), self._dead_letters.pop(at, 0)
        if len(results) + letters != 1:
            self.verdict.differ(
                f"{_where(at)} has {len(results)} results and {letters} dead letters, not one"
            )
        expected = self._expected(record)
        for result in results:
            if expected is None or not _equal(result, expected):
                self.verdict.differ(f"{_where(at)}: the result is not what its text gives")
        if results and expected is not None:
            deltas = self._deltas.setdefault(record.partition, {})
            self._deltas[record.partition] = merge([deltas, expected.deltas])
            self.verdict.words += expected.words

    def finish(self) -> Verdict:
        """Compare what is left, and the totals."""
        for at in sorted({*self._results, *self._dead_letters}):
            self.verdict.differ(f"{_where(at)} has an outcome but is not in the input")
        expected = {
            (partition, key.encode()): total
            for partition, deltas in self._deltas.items()
            for key, total in deltas.items()
        }
        for partition, key in sorted({*expected, *self._last_totals}):
            has, wants = self._last_totals.get((partition, key), 0), expected.get((partition, key), 0)
            if has != wants:
                self.verdict.differ(
                    f"total of {key.decode()} on partition {partition} is {has}, the input gives {wants}"
                )
        return self.verdict

    def _expected(self, record: InputRecord) -> Decision | None:
        try:
            return self._decide(decode_blob(record, self._input_format, self._text_bytes_max).text)
        except Rejected:
            return None


def _equal(result: Mapping[str, Any], expected: Decision) -> bool:
    return bool(result["anagram_counts"] == expected.anagram_counts and result["words"] == expected.words)


def _where(at: At) -> str:
    return f"input record at partition {at[0]}, offset {at[1]}"
