from dataclasses import replace
from pathlib import Path

import pytest

from stream.errors import Refused
from stream.ports import Checkpoint
from stream.store.identity import StoreIdentity
from stream.store.rocks import RocksStores
from stream.testing.clock import FakeClock
from stream.testing.observer import FakeObserver
from stream.tools.audit.stores import read_stores
from stream.tools.audit.verdict import Verdict

IDENTITY = StoreIdentity("cluster", "input", "count", "digest")


def make_store(folder: Path, partition: int, checkpoint: Checkpoint | None, identity: StoreIdentity) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    store = RocksStores(folder, identity, FakeClock(), FakeObserver()).open(partition)
    if checkpoint is not None:
        store.write({b"act": b"2"}, checkpoint)
    store.close()


def test_folder_without_stores_is_reported(tmp_path: Path) -> None:
    verdict = Verdict()
    assert read_stores([tmp_path], IDENTITY, verdict) == {}
    assert (verdict.stores_found, verdict.unchecked) == (0, [f"no stores found in {tmp_path}"])


def test_stores_are_not_searched_without_a_folder() -> None:
    verdict = Verdict(stores_found=3)
    assert read_stores([], IDENTITY, verdict) == {}
    assert (verdict.stores_found, verdict.unchecked) == (None, [])


def test_stores_of_this_pipeline_are_returned_and_others_are_reported(tmp_path: Path) -> None:
    make_store(tmp_path / "worker-0", 1, Checkpoint(7, 5), IDENTITY)
    make_store(tmp_path / "worker-1", 1, None, IDENTITY)
    make_store(tmp_path / "worker-1", 2, Checkpoint(7, 5), replace(IDENTITY, digest="other"))
    verdict = Verdict()
    copies = read_stores([tmp_path], IDENTITY, verdict)
    assert [(each.input_offset, each.changelog_offset, each.totals) for each in copies[1]] == [
        (5, 7, {b"act": b"2"}),
        (0, 0, {}),
    ]
    assert list(copies) == [1]
    assert verdict.stores_found == 3
    assert ["belongs to another" in sentence for sentence in verdict.unchecked] == [True]


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not exist"):
        read_stores([tmp_path / "nowhere"], IDENTITY, Verdict())


def test_interrupted_restore_is_distinguished(tmp_path: Path) -> None:
    """Compaction may have deleted the records that reveal it."""
    make_store(tmp_path / "worker-0", 1, Checkpoint(7, 5, is_restoring=True), IDENTITY)
    make_store(tmp_path / "worker-1", 1, Checkpoint(7, 5), IDENTITY)
    copies = read_stores([tmp_path], IDENTITY, Verdict())
    assert [each.is_restoring for each in copies[1]] == [True, False]
