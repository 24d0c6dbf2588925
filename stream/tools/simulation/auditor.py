"""Checks a simulation: reads the topics with read_committed, and checks every promise at the end."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stream.core.processed_offset import PROCESSED_KEY
from stream.core.records import InputRecord
from stream.ports import Store
from stream.testing.cluster import FakeCluster
from stream.testing.log import Entry, Record
from stream.testing.names import Names
from stream.tools.simulation.workload import Expected, Workload

_ALL = 1 << 60


class Violation(AssertionError):
    """A promise was broken."""


class Auditor:
    """Reads the output topics from time to time, and checks every promise at the end."""

    def __init__(self, cluster: FakeCluster, names: Names, workload: Workload) -> None:
        self._cluster = cluster
        self._names = names
        self._workload = workload
        self._inputs: dict[int, list[InputRecord]] = {}
        self._seen: dict[tuple[str, int], list[Entry]] = {}
        self._positions: dict[tuple[str, int], int] = {}
        self._deleted: dict[int, int] = {}

    def submitted(self, partition: int, offset: int, record: Record) -> None:
        """Keep an input record; retention may delete it from the log."""
        self._inputs.setdefault(partition, []).append(
            InputRecord(self._names.input, partition, offset, record.key, record.value, record.headers)
        )

    def read_along(self) -> None:
        """Read the output topics from where the last call ended."""
        for topic in (self._names.results, self._names.dead_letters, self._names.counts):
            for partition in range(self._cluster.partitions(topic)):
                topic_partition = (topic, partition)
                position = self._positions.get(topic_partition, 0)
                fetched = self._cluster.log(topic, partition).read(position, _ALL)
                self._seen.setdefault(topic_partition, []).extend(fetched.entries)
                self._positions[topic_partition] = fetched.position

    def truncated(self, topic: str, partition: int, end: int) -> None:
        """Forget what a log lost from `end` on."""
        if topic == self._names.input:
            kept = [record for record in self._inputs.get(partition, ()) if record.offset < end]
            self._inputs[partition] = kept
            return
        topic_partition = (topic, partition)
        seen = self._seen.get(topic_partition, ())
        self._seen[topic_partition] = [entry for entry in seen if entry.offset < end]
        self._positions[topic_partition] = min(end, self._positions.get(topic_partition, 0))

    def deleted(self, partition: int, first: int) -> None:
        """Note that retention deleted input before `first` that was not counted: it may have no outcome."""
        self._deleted[partition] = first

    def judge_refusal(self, *, inputs_are_unique: bool) -> None:
        """Check what must hold even after a refusal: no aborted record was read, no input has two outcomes.

        `inputs_are_unique`: no other record got the offset of a lost one.

        Raises:
            Violation: a promise was broken.
        """
        self.read_along()
        self._judge_isolation()
        dead_letters = self._dead_letters()
        for partition in range(self._cluster.partitions(self._names.input) if inputs_are_unique else 0):
            results = self._cluster.committed(self._names.results, partition)
            counted = [json.loads(record.value or b"")["source"]["offset"] for _, record in results]
            outcomes = sorted([*counted, *(offset for offset, _ in dead_letters.get(partition, ()))])
            _hold(len(set(outcomes)) == len(outcomes), f"partition {partition}: repeated outcomes {outcomes}")

    def judge(self, stores: Mapping[int, Store]) -> None:
        """Check everything; `stores` are those of all partitions, all of which run.

        Raises:
            Violation: a promise was broken.
        """
        self.read_along()
        self._judge_isolation()
        dead_letters = self._dead_letters()
        for partition in range(self._cluster.partitions(self._names.input)):
            counted = self._judge_outcomes(partition, dead_letters.get(partition, []))
            self._judge_totals(partition, counted, stores[partition])

    def _judge_isolation(self) -> None:
        for (topic, partition), entries in self._seen.items():
            where = f"{topic}, partition {partition}"
            for entry in entries:
                _hold(
                    entry.share is None or entry.share.committed is True, f"{where}: aborted {entry} was seen"
                )
            if topic != self._names.counts:  # compaction may have deleted records that were seen
                final = [offset for offset, _ in self._cluster.committed(topic, partition)]
                seen = [entry.offset for entry in entries]
                _hold(seen == final, f"{where}: seen during the run {seen}, at the end {final}")

    def _dead_letters(self) -> dict[int, list[tuple[int, str]]]:
        """Return offsets and reasons by input partition; each dead-letter partition keeps their order."""
        dead_letters: dict[int, list[tuple[int, str]]] = {}
        for partition in range(self._cluster.partitions(self._names.dead_letters)):
            for _, record in self._cluster.committed(self._names.dead_letters, partition):
                headers = {name: (value or b"").decode() for name, value in record.headers}
                dead_letter = (int(headers["__streams.errors.offset"]), headers["dead-letter.reason"])
                source = int(headers["__streams.errors.partition"])
                dead_letters.setdefault(source, []).append(dead_letter)
        return dead_letters

    def _judge_outcomes(self, partition: int, dead_letters: list[tuple[int, str]]) -> list[Expected]:
        """Check that every input record has one outcome, in order; return the expectations of the results."""
        results = [
            json.loads(record.value or b"")
            for _, record in self._cluster.committed(self._names.results, partition)
        ]
        counted = [result["source"]["offset"] for result in results]
        where = f"partition {partition}"
        submitted = self._inputs.get(partition, [])
        outcomes = sorted([*counted, *(offset for offset, _ in dead_letters)])
        first = self._deleted.get(partition, 0)
        offsets = [
            record.offset for record in submitted if record.offset >= first or record.offset in outcomes
        ]
        _hold(outcomes == offsets, f"{where}: outcomes of {outcomes}, input {offsets}")
        _hold(counted == sorted(counted), f"{where}: results out of order: {counted}")
        _hold(dead_letters == sorted(dead_letters), f"{where}: dead letters out of order: {dead_letters}")
        expected = {record.offset: self._workload.expect(record) for record in submitted}
        for offset, reason in dead_letters:
            _hold(reason in expected[offset].reasons, f"{where}, offset {offset}: rejected as {reason}")
        for result in results:
            _judge_result(where, result, expected[result["source"]["offset"]])
        return [expected[offset] for offset in counted]

    def _judge_totals(self, partition: int, counted: list[Expected], store: Store) -> None:
        expected = _totals(counted)
        last: dict[bytes, bytes] = {}
        for offset, record in self._cluster.committed(self._names.counts, partition):
            assert record.key is not None
            assert record.value is not None
            if record.key == PROCESSED_KEY:
                continue
            before = last.get(record.key, b"0")
            has_grown = int(record.value) > int(before)
            _hold(has_grown, f"partition {partition}: total {record} at {offset} follows {before!r}")
            last[record.key] = record.value
        _hold(last == expected, f"partition {partition}: count topic {last}, sum of the input {expected}")
        kept = dict(store.items())
        _hold(kept == expected, f"partition {partition}: store {kept}, sum of the input {expected}")


def _judge_result(where: str, result: Mapping[str, Any], expected: Expected) -> None:
    _hold(expected.result is not None, f"{where}: {result} should be a dead letter")
    fields = {name: result.get(name) for name in expected.result or ()}
    _hold(fields == expected.result, f"{where}: {result}, expected {expected.result}")


def _totals(counted: Sequence[Expected]) -> dict[bytes, bytes]:
    """Add up the deltas of the results, independently of the fold."""
    totals: dict[bytes, int] = {}
    for expected in counted:
        for key, added in expected.deltas.items():
            totals[key] = totals.get(key, 0) + added
    return {key: str(total).encode() for key, total in totals.items()}


def _hold(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition, as in `assert`
    if not holds:
        raise Violation(otherwise)
