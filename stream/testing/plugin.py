"""The fake stream as a pytest fixture: test producers and consumers of these topics without a broker.

def test_my_texts(anagram_stream):
    anagram_stream.submit("Listen, silent cat", key="a")
    anagram_stream.run()
    assert anagram_stream.results()[0]["anagram_counts"]["cat"] == 1
    assert anagram_stream.totals() == {"eilnst": 2, "act": 1}
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from stream.core.records import Header
from stream.errors import Retriable
from stream.testing.anagrams import WORDS, anagram_fold
from stream.testing.faults import Faults, Moment
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess


class FakeStream:
    """The four topics on a fake cluster, and the real worker.

    Attributes:
        pipeline: the topics, with more queries.
        worker: the worker; `crash` replaces it.
    """

    def __init__(self, partitions: int = 2, words: Iterable[str] = WORDS) -> None:
        """`words` are the dictionary."""
        self.pipeline = FakePipeline(partitions, fold=anagram_fold(words))
        self._faults = Faults()
        self.worker = self._start()

    def submit(
        self,
        value: str | bytes | None,
        *,
        key: str | None = None,
        headers: Sequence[Header] = (),
        partition: int = 0,
    ) -> int:
        """Append a blob to the input topic, as a producer does; return its offset."""
        raw = value.encode() if isinstance(value, str) else value
        name = None if key is None else key.encode()
        topic = self.pipeline.names.input
        return self.pipeline.cluster.produce(topic, partition, raw, name, headers)

    def run(self) -> None:
        """Run the worker until the outcomes of all input are committed."""
        self.pipeline.drain(self.worker)

    def crash(self) -> None:
        """Kill the worker, and start another one on its disk."""
        disks = self.worker.stores.disks
        self.worker.crash()
        self.worker = self._start(disks)

    def fail_once(self, call: str) -> None:
        """Let the next such call of the worker fail transiently, for example `sink.reset_producer`."""
        self._faults.plan(call, Moment.BEFORE, Retriable(f"{call}: planned"))

    def results(self, partition: int | None = None) -> list[dict[str, Any]]:
        """Return the committed results, as a read_committed consumer sees them."""
        return [result for p in self._of(partition) for result in self.pipeline.results(p)]

    def dead_letters(self, partition: int | None = None) -> list[dict[str, str]]:
        """Return the headers of the committed dead letters."""
        return [letter for p in self._of(partition) for letter in self.pipeline.dead_letters(p)]

    def totals(self) -> Mapping[str, int]:
        """Return the committed total of each signature, summed over the partitions."""
        totals: Counter[str] = Counter()
        for partition in self._of(None):
            totals.update(self.pipeline.totals(partition))
        return totals

    def _of(self, partition: int | None) -> range:
        return range(self.pipeline.partitions) if partition is None else range(partition, partition + 1)

    def _start(self, disks: Any = None) -> FakeProcess:  # noqa: ANN401 - the disks of the last worker
        pipeline = self.pipeline
        return FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold, disks=disks, faults=self._faults)


@pytest.fixture
def anagram_stream() -> FakeStream:
    """A fake stream of two partitions with a small dictionary; make another with `FakeStream(…)`."""
    return FakeStream()
