"""The process that reads results as they are committed: `python -m stream.tools.load_test.reader`.

Its order arrives on standard input.
"""

import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from stream.config import Settings, load_settings
from stream.kafka.clients import reader_options
from stream.tools.kafka.tail import tail
from stream.tools.load_test.child import Parent, run_child
from stream.tools.load_test.messages import ReaderOrder, Status, Stop
from stream.tools.load_test.schedule import NS

_REPORT_NS = NS // 20
_WAIT_S = 0.05


def _longs() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Arrivals:
    """The results that a reader saw, in the order of arrival; 32 bytes per result.

    Attributes:
        numbers: numbers of the blobs.
        times_ns: times of arrival, on the monotonic clock.
        partitions: partitions of the results.
        offsets: offsets of the results.
    """

    numbers: "array[int]" = field(default_factory=_longs)
    times_ns: "array[int]" = field(default_factory=_longs)
    partitions: "array[int]" = field(default_factory=_longs)
    offsets: "array[int]" = field(default_factory=_longs)

    def save(self, file: Path) -> None:
        """Write the arrays to a file, one after the other."""
        with file.open("wb") as out:
            for values in (self.numbers, self.times_ns, self.partitions, self.offsets):
                values.tofile(out)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a file that `save` wrote."""
        arrivals = cls()
        length = file.stat().st_size // (4 * arrivals.numbers.itemsize)
        with file.open("rb") as saved:
            for values in (arrivals.numbers, arrivals.times_ns, arrivals.partitions, arrivals.offsets):
                values.fromfile(saved, length)
        return arrivals


class Reader:
    """Records when each result of a load arrives; skips the results of other input."""

    def __init__(self, settings: Settings, order: ReaderOrder) -> None:
        self._settings = settings
        self._order = order
        self._blobs = order.blobs
        self._seen = bytearray(order.blobs)
        self._distinct = 0
        self._ends: dict[int, int] = {}
        self._arrivals = Arrivals()

    def run(self, parent: Parent) -> Status:
        """Read until all results were seen, or the number in a `Stop` of the parent."""

        def is_waiting() -> bool:
            stop = parent.receive_nowait(Stop)
            if stop is not None:
                self._blobs = stop.blobs
            return self._distinct < self._blobs

        parent.report(Status())
        reported_ns = 0
        order, options = self._order, reader_options(self._settings)
        prefix = order.prefix.encode()
        for message in tail(options, self._settings.result_topic, order.start, is_waiting, _WAIT_S):
            now_ns = time.monotonic_ns()
            if message is not None and (key := message.key()) and key.startswith(prefix):
                self._add(int(key[len(prefix) :]), now_ns, message.partition() or 0, message.offset() or 0)
            if now_ns - reported_ns > _REPORT_NS:
                reported_ns = now_ns
                parent.report(Status(count=self._distinct, ends=self._ends))
        self._arrivals.save(order.file)
        return Status(done=True, count=self._distinct, ends=self._ends)

    def _add(self, number: int, now_ns: int, partition: int, offset: int) -> None:
        position = number - self._order.first
        if not 0 <= position < len(self._seen):
            return
        self._distinct += not self._seen[position]
        self._seen[position] = 1
        self._ends[partition] = offset + 1
        arrivals = self._arrivals
        arrivals.numbers.append(number)
        arrivals.times_ns.append(now_ns)
        arrivals.partitions.append(partition)
        arrivals.offsets.append(offset)


def main() -> None:
    run_child(ReaderOrder, lambda order, parent: Reader(load_settings(), order).run(parent))


if __name__ == "__main__":
    main()
