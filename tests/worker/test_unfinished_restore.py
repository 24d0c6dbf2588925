"""A store that is written before its restore ends is marked; it matches no offset of the input."""

import pytest

from stream.core.processed_offset import ProcessedOffset
from stream.ports import ChangelogChunk, Checkpoint
from stream.store.memory import MemoryDisk, MemoryStore
from stream.worker.restore_phases import Opening, Reading, StallTimer

END = 9


def chunk(position: int, **totals: int) -> ChangelogChunk:
    changes = {name.encode(): b"%d" % total for name, total in totals.items()}
    return ChangelogChunk(0, changes, len(changes), (), position, position)


@pytest.mark.parametrize("processed", [None, ProcessedOffset(3, "d")])
def test_checkpoint_before_the_end_marks_an_interrupted_restore(processed: ProcessedOffset | None) -> None:
    store = MemoryStore(MemoryDisk())
    reading = Reading(Opening(None, 0.0), store, END, 0, 0, None, StallTimer(0.0, 9.0))
    reading.apply(chunk(4, act=1, dgo=1), processed, 2)
    input_offset = processed.input_offset if processed else None
    assert store.checkpoint == Checkpoint(4, input_offset, is_restoring=True)
    reading.apply(chunk(END, act=2), ProcessedOffset(5, "d"), 2)
    assert store.checkpoint == Checkpoint(END, 5)
