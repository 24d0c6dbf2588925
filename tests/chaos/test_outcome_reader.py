import time

import orjson
import pytest

from stream.tools.chaos.outcome_reader import SeenOutcomes, StallTimer
from stream.tools.kafka.topic_reader import StoredRecord


def result(offset: int, source: int, value: str = "x", partition: int = 0) -> StoredRecord:
    body = {"source": {"partition": partition, "offset": source}, "anagram_counts": {value: 1}}
    return StoredRecord("results", partition, offset, b"id", orjson.dumps(body), (), 0)


def letter(offset: int, source: int, partition: int = 0) -> StoredRecord:
    headers = [
        ("__streams.errors.partition", b"%d" % partition),
        ("__streams.errors.offset", b"%d" % source),
    ]
    return StoredRecord("letters", 0, offset, None, b"\xff", headers, 0)


def reading(*records: StoredRecord) -> SeenOutcomes:
    seen = SeenOutcomes()
    for record in records:
        seen.add(record)
    return seen


def test_outcome_names_its_input_record() -> None:
    seen = SeenOutcomes()
    assert seen.add(result(9, 4, partition=2)) == (2, 4)
    assert seen.add(letter(1, 5, partition=2)) == (2, 5)
    assert seen.outcomes == 2


def test_record_that_the_final_reader_misses_was_aborted() -> None:
    final = reading(result(0, 0), result(3, 1))
    assert reading(result(0, 0), result(3, 1)).missing_in(final) == 0
    assert reading(result(0, 0), result(1, 1), result(3, 1)).missing_in(final) == 1


def test_record_with_another_value_for_the_final_reader_was_aborted() -> None:
    assert reading(result(0, 0, "x")).missing_in(reading(result(0, 0, "y"))) == 1


@pytest.mark.parametrize(("sources", "disordered"), [((0, 1, 2), 0), ((0, 2, 1), 1), ((0, 0), 1)])
def test_results_out_of_the_order_of_their_input_are_counted(
    sources: tuple[int, ...], disordered: int
) -> None:
    seen = reading(*(result(offset, source) for offset, source in enumerate(sources)))
    assert seen.disordered == disordered


def test_partition_with_input_but_no_outcome_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stalls = StallTimer()

    def update(time_s: float, inputs: int, outcomes: int) -> None:
        now[0] = time_s
        stalls.update({0: inputs}, {0: outcomes})

    update(0, 5, 5)
    update(10, 5, 5)  # an idle partition does not stall
    assert stalls.worst_s == 0
    update(11, 8, 5)
    update(13, 9, 5)
    assert stalls.worst_s == 3
    update(14, 9, 7)
    update(15, 9, 7)
    assert stalls.reset() == 3
    update(16, 9, 7)  # the stall continues
    assert stalls.worst_s == 2
