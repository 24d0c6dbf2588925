import random
from pathlib import Path

import pytest

from stream.errors import Retriable
from stream.store.view import ViewStore, open_view, outcome_key, outcome_position

MIB = 1024 * 1024
IDENTITY = b'{"cluster":"a"}'


def put(store: ViewStore, kind: bytes, partition: int, offset: int) -> bytes:
    batch, key = store.batch(), outcome_key(kind, partition, offset)
    batch.put_outcome(key, b"blob-%d" % offset, (partition, 10 * offset), b"v")
    batch.write()
    return key


def test_reopened_view_has_what_was_written(tmp_path: Path) -> None:
    store = ViewStore(tmp_path / "view", MIB)
    batch = store.batch()
    batch.put_totals(0, {b"act": b"5", b"dgo": b"1"})
    batch.put_totals(300, {b"act": b"2"})
    batch.put_position("signature-counts", 300, 17)
    batch.put_position("anagram-results", 0, 2**60)
    batch.put_number("reason bad-json", 3)
    batch.write()
    key = put(store, b"r", 7, 4)
    store.close()
    store = ViewStore(tmp_path / "view", MIB)
    assert sorted(store.totals()) == [(0, b"act", b"5"), (0, b"dgo", b"1"), (300, b"act", b"2")]
    assert store.positions() == {("signature-counts", 300): 17, ("anagram-results", 0): 2**60}
    assert store.numbers() == {"reason bad-json": 3}
    assert store.outcome(key) == b"v"
    assert store.outcome_of_source(7, 40) == store.newest_outcome(b"blob-4") == key
    assert outcome_position(key) == (b"r", 7, 4)
    store.close()


def test_newest_outcome_of_an_id_is_the_one_written_last(tmp_path: Path) -> None:
    store = ViewStore(tmp_path, MIB)
    for offset in (1, 2):
        batch = store.batch()
        batch.put_outcome(outcome_key(b"r", 0, offset), b"same", (0, offset), b"%d" % offset)
        batch.write()
    assert store.outcome(store.newest_outcome(b"same") or b"") == b"2"
    store.close()


@pytest.mark.parametrize("blob_id", [b"", b"x" * 64, b"x" * 65, b"x" * 100_000, "ß".encode() * 40])
def test_any_id_is_found(tmp_path: Path, blob_id: bytes) -> None:
    store = ViewStore(tmp_path, MIB)
    batch = store.batch()
    batch.put_outcome(outcome_key(b"r", 0, 1), blob_id, (0, 1), b"v")
    batch.write()
    assert store.newest_outcome(blob_id) == outcome_key(b"r", 0, 1)
    assert store.newest_outcome(blob_id + b"y") is None
    store.close()


def test_outcomes_of_a_partition_are_in_the_order_of_their_offsets(tmp_path: Path) -> None:
    store = ViewStore(tmp_path, MIB)
    for kind, partition, offset in (
        (b"r", 0, 300),
        (b"r", 0, 2),
        (b"r", 0, 70_000),
        (b"d", 0, 5),
        (b"r", 1, 4),
    ):
        put(store, kind, partition, offset)
    assert [offset for offset, _ in store.outcomes_from(b"r", 0, 0)] == [2, 300, 70_000]
    assert [offset for offset, _ in store.outcomes_from(b"r", 0, 3)] == [300, 70_000]
    assert [offset for offset, _ in store.outcomes_from(b"d", 0, 0)] == [5]
    assert list(store.outcomes_from(b"d", 1, 0)) == []
    store.close()


def test_oldest_outcomes_are_deleted_above_the_limit(tmp_path: Path) -> None:
    """The newest outcomes remain and the folder stays small; totals and positions are never deleted."""
    store = ViewStore(tmp_path, 8 * MIB)
    batch = store.batch()
    batch.put_totals(0, {b"act": b"5"})
    batch.write()
    for offset in range(4_000):
        batch = store.batch()
        value = random.Random(offset).randbytes(10_000)  # compression must not hide its size
        batch.put_outcome(outcome_key(b"r", 0, offset), b"%d" % offset, (0, offset), value)
        batch.put_position("anagram-results", 0, offset + 1)
        batch.write()
    kept = [offset for offset, _ in store.outcomes_from(b"r", 0, 0)]
    assert kept[-1] == 3_999
    assert 100 < len(kept) < 2_000
    assert kept == list(range(kept[0], 4_000))
    assert store.positions() == {("anagram-results", 0): 4_000}
    assert list(store.totals()) == [(0, b"act", b"5")]
    store.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100 * MIB


def test_view_of_another_identity_starts_over(tmp_path: Path) -> None:
    store, why = open_view(tmp_path, IDENTITY, MIB)
    assert why == ""
    put(store, b"r", 0, 1)
    store.close()
    store, why = open_view(tmp_path, IDENTITY, MIB)
    assert why == ""
    assert store.outcome(outcome_key(b"r", 0, 1)) == b"v"
    store.close()
    store, why = open_view(tmp_path, b'{"cluster":"b"}', MIB)
    assert "another cluster" in why
    assert store.outcome(outcome_key(b"r", 0, 1)) is None
    store.close()


def test_damaged_view_starts_over(tmp_path: Path) -> None:
    store, _ = open_view(tmp_path, IDENTITY, MIB)
    put(store, b"r", 0, 1)
    store.close()
    (tmp_path / "CURRENT").write_text("nonsense\n")
    store, why = open_view(tmp_path, IDENTITY, MIB)
    assert "damaged" in why
    assert store.outcome(outcome_key(b"r", 0, 1)) is None
    store.close()


def test_view_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    store, _ = open_view(tmp_path, IDENTITY, MIB)
    put(store, b"r", 0, 1)
    with pytest.raises(Retriable, match="in use"):
        open_view(tmp_path, IDENTITY, MIB)
    assert store.outcome(outcome_key(b"r", 0, 1)) == b"v"
    store.close()
