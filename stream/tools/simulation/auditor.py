"""The simulation's judge: a concurrent read_committed reader, and what must hold in the end."""

import json
from collections.abc import Mapping

from stream.core.decide import Decision
from stream.core.records import InputRecord
from stream.ports import Store
from stream.testing.cluster import FakeCluster
from stream.testing.log import Entry, Record
from stream.testing.names import Names
from stream.tools.simulation.workload import Expected, Workload, totals_of

_ALL = 1 << 60


class Violation(AssertionError):
    """A promise was broken."""


class Auditor:
    """Reads along, as any read_committed reader may at any time, and judges in the end."""

    def __init__(self, cluster: FakeCluster, names: Names, workload: Workload) -> None:
        self._cluster = cluster
        self._names = names
        self._workload = workload
        self._inputs: dict[int, list[InputRecord]] = {}
        self._seen: dict[tuple[str, int], list[Entry]] = {}
        self._positions: dict[tuple[str, int], int] = {}

    def submitted(self, partition: int, offset: int, record: Record) -> None:
        """Keep an input record; retention may take it from the log."""
        self._inputs.setdefault(partition, []).append(
            InputRecord(self._names.input, partition, offset, record.key, record.value, record.headers)
        )

    def read_along(self) -> None:
        """Read on, from where the last call ended."""
        for topic in (self._names.results, self._names.dead_letters, self._names.counts):
            for partition in range(self._cluster.partitions(topic)):
                at = (topic, partition)
                fetched = self._cluster.log(topic, partition).read(self._positions.get(at, 0), _ALL)
                self._seen.setdefault(at, []).extend(fetched.entries)
                self._positions[at] = fetched.position

    def judge(self, stores: Mapping[int, Store]) -> None:
        """Check everything; `stores` are those of the running partitions, all of them.

        Raises:
            Violation: a promise was broken.
        """
        self.read_along()
        self._judge_isolation()
        buried = self._dead_letters()
        for partition in range(self._cluster.partitions(self._names.input)):
            decisions = self._judge_outcomes(partition, buried.get(partition, []))
            self._judge_totals(partition, decisions, stores[partition])

    def _judge_isolation(self) -> None:
        for (topic, partition), entries in self._seen.items():
            where = f"{topic}, partition {partition}"
            for entry in entries:
                _hold(
                    entry.share is None or entry.share.committed is True, f"{where}: aborted {entry} was seen"
                )
            if topic != self._names.counts:  # those are compacted: what was seen may be gone
                final = [offset for offset, _ in self._cluster.committed(topic, partition)]
                seen = [entry.offset for entry in entries]
                _hold(seen == final, f"{where}: seen on the way {seen}, in the end {final}")

    def _dead_letters(self) -> dict[int, list[tuple[int, str]]]:
        """Return, by input partition, offsets and reasons; each dead-letter partition keeps their order."""
        found: dict[int, list[tuple[int, str]]] = {}
        for partition in range(self._cluster.partitions(self._names.dead_letters)):
            for _, record in self._cluster.committed(self._names.dead_letters, partition):
                headers = {name: (value or b"").decode() for name, value in record.headers}
                offset = int(headers["__streams.errors.offset"])
                letter = (offset, headers["dead-letter.reason"])
                found.setdefault(int(headers["__streams.errors.partition"]), []).append(letter)
        return found

    def _judge_outcomes(self, partition: int, buried: list[tuple[int, str]]) -> list[Decision]:
        """Check that every input record has its one outcome, in order; return what was counted."""
        results = [
            json.loads(record.value or b"")
            for _, record in self._cluster.committed(self._names.results, partition)
        ]
        counted = [result["source"]["offset"] for result in results]
        where = f"partition {partition}"
        submitted = self._inputs.get(partition, [])
        offsets = [record.offset for record in submitted]
        outcomes = sorted([*counted, *(offset for offset, _ in buried)])
        _hold(outcomes == offsets, f"{where}: outcomes of {outcomes}, input {offsets}")
        _hold(counted == sorted(counted), f"{where}: results out of order: {counted}")
        _hold(buried == sorted(buried), f"{where}: dead letters out of order: {buried}")
        expected = {record.offset: self._workload.expect(record) for record in submitted}
        for offset, reason in buried:
            _hold(reason in expected[offset].reasons, f"{where}, offset {offset}: rejected as {reason}")
        return [_judge_result(where, result, expected[result["source"]["offset"]]) for result in results]

    def _judge_totals(self, partition: int, decisions: list[Decision], store: Store) -> None:
        expected = totals_of(decisions)
        last: dict[bytes, bytes] = {}
        for offset, record in self._cluster.committed(self._names.counts, partition):
            assert record.key is not None
            assert record.value is not None
            before = last.get(record.key, b"0")
            has_grown = int(record.value) > int(before)
            _hold(has_grown, f"partition {partition}: total {record} at {offset} follows {before!r}")
            last[record.key] = record.value
        _hold(last == expected, f"partition {partition}: count topic {last}, fold of the input {expected}")
        kept = dict(store.items())
        _hold(kept == expected, f"partition {partition}: store {kept}, fold of the input {expected}")


def _judge_result(where: str, result: Mapping[str, object], expected: Expected) -> Decision:
    decision = expected.decision
    _hold(decision is not None, f"{where}: {result} should be a dead letter")
    assert decision is not None
    told = (result["anagram_counts"], result["words"])
    _hold(told == (decision.anagram_counts, decision.words), f"{where}: {result}, expected {decision}")
    return decision


def _hold(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition, as `assert` takes it
    if not holds:
        raise Violation(otherwise)
