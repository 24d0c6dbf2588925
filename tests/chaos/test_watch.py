import time

import orjson
import pytest

from stream.kafka.reader import StoredRecord
from stream.tools.chaos.watch import Seen, Stalls


def result(at: int, source: int, value: str = "x", partition: int = 0) -> StoredRecord:
    body = {"source": {"partition": partition, "offset": source}, "anagram_counts": {value: 1}}
    return StoredRecord("results", partition, at, b"id", orjson.dumps(body), (), 0)


def letter(at: int, source: int, partition: int = 0) -> StoredRecord:
    headers = [
        ("__streams.errors.partition", b"%d" % partition),
        ("__streams.errors.offset", b"%d" % source),
    ]
    return StoredRecord("letters", 0, at, None, b"\xff", headers, 0)


def reading(*records: StoredRecord) -> Seen:
    seen = Seen()
    for record in records:
        seen.outcome(record)
    return seen


def test_outcome_tells_the_input_it_belongs_to() -> None:
    seen = Seen()
    assert seen.outcome(result(9, 4, partition=2)) == (2, 4)
    assert seen.outcome(letter(1, 5, partition=2)) == (2, 5)
    assert seen.outcomes == 2


def test_record_that_is_gone_in_the_end_was_an_aborted_one() -> None:
    final = reading(result(0, 0), result(3, 1))
    assert reading(result(0, 0), result(3, 1)).missing_in(final) == 0
    assert reading(result(0, 0), result(1, 1), result(3, 1)).missing_in(final) == 1


def test_record_that_reads_otherwise_in_the_end_was_another_one() -> None:
    assert reading(result(0, 0, "x")).missing_in(reading(result(0, 0, "y"))) == 1


@pytest.mark.parametrize(("sources", "disordered"), [((0, 1, 2), 0), ((0, 2, 1), 1), ((0, 0), 1)])
def test_results_follow_their_input(sources: tuple[int, ...], disordered: int) -> None:
    seen = reading(*(result(at, source) for at, source in enumerate(sources)))
    assert seen.disordered == disordered


def test_partition_with_input_and_no_outcome_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stalls = Stalls()

    def look(at: float, inputs: int, outcomes: int) -> None:
        now[0] = at
        stalls.look({0: inputs}, {0: outcomes})

    look(0, 5, 5)
    look(10, 5, 5)  # idle is no stall
    assert stalls.worst_s == 0
    look(11, 8, 5)
    look(13, 9, 5)
    assert stalls.worst_s == 3
    look(14, 9, 7)
    look(15, 9, 7)
    assert stalls.reset() == 3
    look(16, 9, 7)  # goes on
    assert stalls.worst_s == 2
