"""A fake cluster with the pipeline's topics, and queries for tests."""

import json
from collections.abc import Mapping
from typing import Any

from stream.core.fold import Fold
from stream.core.processed_offset import PROCESSED_KEY
from stream.testing.anagrams import anagram_fold
from stream.testing.cluster import FakeCluster
from stream.testing.names import Names
from stream.testing.process import FakeProcess

PASSES_MAX = 5_000


class FakePipeline:
    """The input, result, count and dead-letter topics on a fake cluster.

        pipeline = FakePipeline(partitions=2)
        pipeline.submit("Listen, silent cat", partition=1)
        worker = FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold)
        pipeline.drain(worker)
        assert pipeline.totals(1) == {"eilnst": 2, "act": 1}

    Attributes:
        group: the workers' group.
        fold: anagrams of a small dictionary, unless another is given.
    """

    def __init__(
        self,
        partitions: int = 1,
        *,
        cluster: FakeCluster | None = None,
        names: Names | None = None,
        fold: Fold | None = None,
        dead_letter_partitions: int | None = None,
    ) -> None:
        self.cluster = cluster or FakeCluster()
        self.names = names or Names()
        self.fold = fold or anagram_fold(names=self.names)
        self.partitions = partitions
        for topic in (self.names.input, self.names.results, self.names.counts):
            self.cluster.create(topic, partitions)
        self.cluster.create(self.names.dead_letters, dead_letter_partitions or partitions)
        self.group = self.cluster.group(self.names.group, self.names.input)

    def submit(self, value: str | bytes | None, partition: int = 0) -> int:
        """Append a blob to the input; return its offset."""
        raw = value.encode() if isinstance(value, str) else value
        return self.cluster.produce(self.names.input, partition, raw)

    def committed(self) -> list[int]:
        """Return the group's committed offset of every partition; 0 if it has none."""
        offsets = self.group.unstable(range(self.partitions))
        return [0 if committed is None else committed.offset for committed in offsets.values()]

    def ends(self) -> list[int]:
        """Return the end offset of every input partition."""
        logs = (self.cluster.log(self.names.input, p) for p in range(self.partitions))
        return [log.high_watermark for log in logs]

    def drain(self, *processes: FakeProcess) -> None:
        """Run the processes in turn until all input is committed and they are settled."""
        for _ in range(PASSES_MAX):
            for process in processes:
                process.run_once()
            if self.committed() == self.ends() and all(process.is_settled() for process in processes):
                return
        raise AssertionError(f"not drained: committed {self.committed()} of {self.ends()}")

    def results(self, partition: int = 0) -> list[dict[str, Any]]:
        """Return the committed results, decoded."""
        records = self.cluster.committed(self.names.results, partition)
        return [json.loads(record.value or b"") for _, record in records]

    def dead_letters(self, partition: int = 0) -> list[dict[str, str]]:
        """Return the headers of the committed dead letters."""
        records = self.cluster.committed(self.names.dead_letters, partition)
        return [{name: (value or b"").decode() for name, value in record.headers} for _, record in records]

    def totals(self, partition: int = 0) -> Mapping[str, int]:
        """Return the last committed total of each signature."""
        records = self.cluster.committed(self.names.counts, partition)
        return {
            (record.key or b"").decode(): int(record.value or b"")
            for _, record in records
            if record.key != PROCESSED_KEY
        }
