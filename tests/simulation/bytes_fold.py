"""A second fold, without words: it counts the bytes of the values per record key."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from stream.core.columns import InputRecords
from stream.core.fold import Changes, Chunk, Fold
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Reason, Rejected, StageFailed
from stream.testing.names import Names
from stream.tools.simulation.workload import Expected, Submission

KEYS = (b"0", b"A", b"z", b"\xff key")  # below and above the letters of a signature
BYTES_MAX = 20
_FLAKY = b"flaky"


@dataclass(frozen=True)
class ChangedBytes:
    changes: Changes
    totals: dict[bytes, int]

    def apply(self) -> None:
        self.totals.update({key: int(total) for key, total in self.changes.items()})


class BytesTotals:
    def __init__(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        self._totals = {key: int(total) for key, total in stored}

    def compute_changes(self, deltas: Sequence[Mapping[bytes, int]]) -> ChangedBytes:
        added = sum((Counter(delta) for delta in deltas), Counter[bytes]())
        changes = {key: b"%d" % (self._totals.get(key, 0) + size) for key, size in added.items()}
        return ChangedBytes(changes, self._totals)


class BytesFold:
    """Rejects records without a value or with too large a value."""

    digest = "bytes per key"

    def __init__(self, names: Names) -> None:
        self._names = names

    def process(self, records: InputRecords) -> Chunk:
        outcomes = [self._outcome(record) for record in records]
        deltas = Counter[bytes]()
        for record, outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, OutputRecord):
                deltas[record.key or b"none"] += len(record.value or b"")
        return Chunk.of(outcomes, deltas.total(), +deltas)

    def load(self, stored: Iterable[tuple[bytes, bytes]]) -> BytesTotals:
        return BytesTotals(stored)

    def validate(self, changes: Changes) -> None:
        for total in changes.values():
            int(total)

    def _outcome(self, record: InputRecord) -> OutputRecord | Rejected:
        if record.value is None:
            return Rejected(Reason.NULL_VALUE, "measure", "no value")
        if len(record.value) > BYTES_MAX:
            return Rejected(Reason.TEXT_TOO_LARGE, "measure", "too large")
        source = {"partition": record.partition, "offset": record.offset}
        value = json.dumps({"bytes": len(record.value), "source": source}).encode()
        return OutputRecord(self._names.results, record.partition, record.key, value)


class BytesWorkload:
    def __init__(self, rng: Random, names: Names) -> None:
        self._rng = rng
        self._fold = BytesFold(names)

    @property
    def fold(self) -> Fold:
        return self._fold

    def draw(self) -> Submission:
        key = self._rng.choice((*KEYS, None))
        if self._rng.random() < 0.05:
            return Submission(key, None)
        filler = b"x" * self._rng.randint(0, BYTES_MAX + 1)
        return Submission(key, _FLAKY + filler if self._rng.random() < 0.05 else filler)

    def disturb(self, record: InputRecord) -> None:
        if _FLAKY in (record.value or b"") and self._rng.random() < 0.5:
            raise StageFailed("measure", "disturbed")

    def expect(self, record: InputRecord) -> Expected:
        value = record.value
        reasons = {Reason.RETRIES_EXHAUSTED.value} if _FLAKY in (value or b"") else set[str]()
        if value is None:
            return Expected(None, reasons=frozenset({Reason.NULL_VALUE.value}))
        if len(value) > BYTES_MAX:
            return Expected(None, reasons=frozenset(reasons | {Reason.TEXT_TOO_LARGE.value}))
        deltas = {record.key or b"none": len(value)} if value else {}
        return Expected({"bytes": len(value)}, deltas, frozenset(reasons))
