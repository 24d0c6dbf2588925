"""Accidents outside the processes: something changes offsets, logs or topics.

A simulation has at most one. Afterwards either the workers refuse to continue for good, or all is exact.
"""

import random
from collections.abc import Callable, Mapping
from enum import StrEnum

from stream.core.evidence import CommittedOffset
from stream.testing.pipeline import FakePipeline
from stream.tools.simulation.auditor import Auditor


class Accident(StrEnum):
    """Accidental changes to the offsets, logs and topics of a pipeline."""

    OFFSET_MOVED = "offset moved by another client"
    OFFSET_COPIED = "offset moved with the metadata of another offset"
    OFFSET_RESTORED = "offset moved back to an earlier commit"
    OFFSETS_DELETED = "offsets deleted"
    OFFSETS_AND_COUNTS_LOST = "offsets deleted and count topic recreated"
    INPUT_TRUNCATED = "input truncated"
    RESULTS_TRUNCATED = "results truncated"
    COUNTS_TRUNCATED = "count topic truncated"
    DEAD_LETTERS_TRUNCATED = "dead letters truncated"
    INPUT_DELETED = "input deleted by retention"
    INPUT_RECREATED = "input topic recreated"
    RESULTS_RECREATED = "result topic recreated"
    COUNTS_RECREATED = "count topic recreated"
    DEAD_LETTERS_RECREATED = "dead-letter topic recreated"


class Accidents:
    """Causes one accident.

    Attributes:
        happened: the accident, once it has happened.
    """

    def __init__(
        self,
        accident: Accident,
        pipeline: FakePipeline,
        auditor: Auditor,
        refill: Callable[[], None],
        rng: random.Random,
    ) -> None:
        """`refill` produces some input."""
        self._accident = accident
        self._refill = refill
        self._pipeline = pipeline
        self._auditor = auditor
        self._rng = rng
        self._earlier: dict[int, list[CommittedOffset]] = {}
        self.happened: Accident | None = None

    def watch(self) -> None:
        """Remember committed offsets, so that one can be restored later."""
        for partition, committed in self._committed().items():
            earlier = self._earlier.setdefault(partition, [])
            if committed is not None and committed not in earlier:
                earlier.append(committed)

    def happen(self) -> Accident | None:
        """Cause the accident; return None if it is not possible yet."""
        names, accident = self._pipeline.names, self._accident
        topics = {
            Accident.INPUT_TRUNCATED: names.input,
            Accident.RESULTS_TRUNCATED: names.results,
            Accident.COUNTS_TRUNCATED: names.counts,
            Accident.DEAD_LETTERS_TRUNCATED: names.dead_letters,
            Accident.INPUT_RECREATED: names.input,
            Accident.RESULTS_RECREATED: names.results,
            Accident.COUNTS_RECREATED: names.counts,
            Accident.DEAD_LETTERS_RECREATED: names.dead_letters,
        }
        if accident is Accident.OFFSETS_AND_COUNTS_LOST:
            self._pipeline.group.forget_offsets()
            has_happened = self._recreate(names.counts)
        elif accident in topics:
            change = self._truncate if accident.endswith("truncated") else self._recreate
            has_happened = change(topics[accident])
        elif accident is Accident.INPUT_DELETED:
            has_happened = self._delete_input()
        else:
            has_happened = self._change_offset()
        self.happened = accident if has_happened else None
        return self.happened

    def _change_offset(self) -> bool:
        group, accident = self._pipeline.group, self._accident
        partition = self._rng.randrange(self._pipeline.partitions)
        committed, offset = (
            self._committed()[partition],
            self._rng.randint(0, self._pipeline.ends()[partition]),
        )
        if accident is Accident.OFFSETS_DELETED:
            group.forget_offsets()
            return True
        if accident is Accident.OFFSET_MOVED:
            group.commit({partition: CommittedOffset(offset, self._rng.choice(("", "by hand")))})
            return True
        if committed is None:
            return False
        if accident is Accident.OFFSET_COPIED:
            group.commit({partition: CommittedOffset(offset, committed.metadata, committed.leader_epoch)})
            return True
        group.commit({partition: self._rng.choice([*self._earlier.get(partition, ()), committed])})
        return True

    def _truncate(self, topic: str) -> bool:
        cluster = self._pipeline.cluster
        partition = self._rng.randrange(cluster.partitions(topic))
        log = cluster.log(topic, partition)
        if log.last_stable_offset < log.high_watermark or log.first_offset == log.high_watermark:
            return False
        self._auditor.read_along()
        end = self._rng.randrange(log.first_offset, log.high_watermark)
        log.truncate(end)
        self._auditor.truncated(topic, partition, end)
        return True

    def _recreate(self, topic: str) -> bool:
        cluster = self._pipeline.cluster
        partitions = cluster.partitions(topic)
        self._auditor.read_along()
        cluster.delete(topic)
        cluster.create(topic, partitions)
        for partition in range(partitions):
            self._auditor.truncated(topic, partition, 0)
        if topic == self._pipeline.names.input:
            for _ in range(self._rng.choice((0, 5, 20))):
                self._refill()
        return True

    def _delete_input(self) -> bool:
        partition = self._rng.randrange(self._pipeline.partitions)
        log = self._pipeline.cluster.log(self._pipeline.names.input, partition)
        if log.first_offset == log.high_watermark:
            return False
        log.trim(self._rng.randint(log.first_offset + 1, log.high_watermark))
        if self._committed()[partition] is None:
            self._auditor.deleted(partition, log.first_offset)
        return True

    def _committed(self) -> Mapping[int, CommittedOffset | None]:
        return self._pipeline.group.unstable(range(self._pipeline.partitions))
