import multiprocessing
import os
import random
import shutil
import signal
import stat
from dataclasses import asdict
from pathlib import Path
from time import sleep
from typing import Any

import orjson
import pytest
from store_contract import CHECKPOINT, StoreContract
from support.topics import wait_until
from support.usage import resident_mib

from stream.errors import Fatal, Retriable
from stream.ports import Checkpoint, Store
from stream.store.identity import StoreIdentity
from stream.store.rocks import Corrupt, RocksStore, RocksStores, read_copy
from stream.worker.clock import SystemClock

IDENTITY = StoreIdentity("cluster", "input", "count", "digest")


class TestRocksStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "store"

    def open(self) -> Store:
        return RocksStore(self.path)


def changed(field: str) -> StoreIdentity:
    values: dict[str, Any] = asdict(IDENTITY)
    return StoreIdentity(**{**values, field: 2 if field == "format" else "other"})


class AsideObserver:
    """An observer of `set_aside`; no other event may occur."""

    def __init__(self) -> None:
        self.reported: list[tuple[int, str]] = []

    def set_aside(self, partition: int, why: str) -> None:
        self.reported.append((partition, why))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def stores(folder: Path, observer: AsideObserver, identity: StoreIdentity = IDENTITY) -> RocksStores:
    return RocksStores(folder, identity, SystemClock(), observer)


def test_identity_has_the_format_of_earlier_versions(tmp_path: Path) -> None:
    """Otherwise an upgrade would set every store aside."""
    store = stores(tmp_path, AsideObserver()).open(3)
    assert store.identity == (
        b'{"cluster_id":"cluster","count_topic_id":"count","dictionary":"digest","format":1,'
        b'"input_topic_id":"input"}'
    )
    store.close()
    assert read_copy(tmp_path / "partition-3")[0] == IDENTITY


@pytest.mark.parametrize("field", ["cluster_id", "input_topic_id", "count_topic_id", "digest", "format"])
def test_store_of_another_identity_is_set_aside_and_kept(tmp_path: Path, field: str) -> None:
    observer = AsideObserver()
    first = stores(tmp_path, observer).open(3)
    first.write({b"act": b"1"}, CHECKPOINT)
    first.close()
    again = stores(tmp_path, observer).open(3)
    assert again.checkpoint == CHECKPOINT
    again.close()
    assert observer.reported == []
    other = stores(tmp_path, observer, changed(field)).open(3)
    assert other.checkpoint is None
    assert [partition for partition, _ in observer.reported] == [3]
    (aside,) = tmp_path.glob("partition-3.aside-*")
    kept = RocksStore(aside)
    assert dict(kept.items()) == {b"act": b"1"}


@pytest.mark.parametrize("victim", ["MANIFEST-*", "CURRENT"])
def test_damaged_store_is_set_aside(tmp_path: Path, victim: str) -> None:
    observer = AsideObserver()
    first = stores(tmp_path, observer).open(0)
    first.write({b"act": b"1"}, CHECKPOINT)
    first.close()
    (file,) = (tmp_path / "partition-0").glob(victim)
    file.write_bytes(b"\xff" * 64)
    assert stores(tmp_path, observer).open(0).checkpoint is None
    assert "damaged" in observer.reported[0][1]


def test_store_whose_damage_is_detected_in_use_is_set_aside_by_the_next_start(tmp_path: Path) -> None:
    observer = AsideObserver()
    first = stores(tmp_path, observer).open(0)
    first.write({b"act": b"1"}, CHECKPOINT)
    first._open().flush()
    first.close()
    for sst in (tmp_path / "partition-0").glob("*.sst"):
        whole = sst.read_bytes()
        sst.write_bytes(b"\xff" * 40 + whole[40:])
    damaged = stores(tmp_path, observer).open(0)
    if observer.reported == []:  # the damage is detected when the block is read
        with pytest.raises(Corrupt):
            dict(damaged.items())
        damaged.close()
        damaged = stores(tmp_path, observer).open(0)
    assert damaged.checkpoint is None
    assert "damaged" in observer.reported[0][1]


def test_store_in_use_is_retriable(tmp_path: Path) -> None:
    held = RocksStore(tmp_path / "store")
    with pytest.raises(Retriable):
        RocksStore(tmp_path / "store")
    held.close()


def test_folder_that_cannot_be_written_is_a_fatal_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal):
        RocksStore(tmp_path / "file" / "store")


def _write_forever(path: Path) -> None:
    store = RocksStore(path)
    for n in range(1, 1_000_000):
        store.write({b"a": b"%d" % n, b"b": b"%d" % n, b"c%d" % (n % 50): b"%d" % n}, Checkpoint(n, n))


def test_after_kill_9_totals_and_checkpoint_are_of_the_same_write(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=_write_forever, args=(tmp_path / "store",))
    child.start()
    child.join(2.5)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    store = RocksStore(tmp_path / "store")
    assert store.checkpoint is not None
    n = store.checkpoint.changelog_offset
    assert n > 10
    totals = dict(store.items())
    assert totals[b"a"] == totals[b"b"] == totals[b"c%d" % (n % 50)] == b"%d" % n


def test_two_hundred_openings_leave_no_handle_open(tmp_path: Path) -> None:
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    RocksStore(tmp_path / "store").close()
    before = handles()
    for n in range(200):
        store = RocksStore(tmp_path / "store")
        store.write({b"a": b"%d" % n}, Checkpoint(n, n))
        store.close()
    assert handles() <= before + 3


def test_memory_of_a_store_that_is_written_all_the_time_stays_bounded(tmp_path: Path) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    store, keys = RocksStore(tmp_path / "store"), [b"sig%d" % n for n in range(250)]
    before = resident_mib(os.getpid())
    for n in range(1, 10_001):  # 2.5 million totals, some 90 MiB of memtable
        store.write(dict.fromkeys(keys, b"%d" % n), Checkpoint(n, n))
    assert resident_mib(os.getpid()) - before < 64
    store.close()


def test_only_its_owner_may_access_the_state_folder(tmp_path: Path) -> None:
    from stream.store.slots import claim_slot  # noqa: PLC0415

    with claim_slot(tmp_path / "state", "group", None) as slot:
        assert stat.S_IMODE(slot.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(slot.folder.parent.stat().st_mode) == 0o700


def as_kill_9_leaves_it(folder: Path, copy: Path) -> Path:
    """Copy a store whose log is not flushed yet, as soon as compaction stops changing the files."""
    before: list[Path] = []
    while before != (now := sorted(folder.iterdir())):
        before = now
        sleep(0.1)
    shutil.copytree(folder, copy)
    return copy


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bits_are_detected_or_leave_the_state_of_some_write(tmp_path: Path, seed: int) -> None:
    """An older state is also correct, because the changelog contains the rest."""
    rng = random.Random(seed)
    observer = AsideObserver()
    first = stores(tmp_path, observer).open(0)
    states: dict[int, dict[bytes, bytes]] = {}
    totals: dict[bytes, bytes] = {}
    for n in range(12):
        changed_now = {
            b"%c%c" % (97 + rng.randrange(26), 97 + rng.randrange(26)): b"%d" % n for _ in range(40)
        }
        totals |= changed_now
        states[n] = dict(totals)
        first.write(changed_now, Checkpoint(n, n))
        if rng.random() < 0.4:
            first._open().flush()
    folder = tmp_path / "partition-0"
    kept = as_kill_9_leaves_it(folder, tmp_path / "kept")
    first.close()
    shutil.rmtree(folder)
    kept.rename(folder)
    victims = [
        path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and path.name != "LOG"
    ]
    victim = rng.choice(victims)
    data = bytearray(victim.read_bytes())
    for _ in range(rng.choice((1, 1, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    victim.write_bytes(data)
    for _ in range(2):  # damage that is detected on reading is set aside by the next start
        store = stores(tmp_path, observer).open(0)
        try:
            state = dict(store.items()), store.checkpoint
            break
        except Corrupt:
            store.close()
    items, checkpoint = state
    expected = states[checkpoint.changelog_offset] if checkpoint is not None else {}
    assert items == expected, victim
    assert len(observer.reported) <= 1
    store.close()


@pytest.mark.parametrize("version", ["0", "99"])
def test_store_of_another_format_is_set_aside(tmp_path: Path, version: str) -> None:
    observer = AsideObserver()
    first = stores(tmp_path, observer).open(0)
    first.write({b"act": b"1"}, CHECKPOINT)
    other = orjson.loads(first.identity or b"") | {"format": int(version)}
    first.claim(orjson.dumps(other, option=orjson.OPT_SORT_KEYS))
    first.close()
    assert stores(tmp_path, observer).open(0).checkpoint is None
    assert "format" in observer.reported[0][1]


def test_stores_share_one_limit_of_memtables(tmp_path: Path) -> None:
    several = stores(tmp_path, AsideObserver())
    opened = [several.open(partition) for partition in range(40)]
    keys = [b"abcdefgh%06d" % n for n in range(15_000)]
    for n in range(1, 3):
        for store in opened:  # 80 MiB in all, if no memtable is flushed
            store.write(dict.fromkeys(keys, b"%d" % n), Checkpoint(n, n))
    # A flush runs concurrently with the writes; on a busy machine it finishes after them.
    wait_until(lambda: sum(store.figures()["memtable_bytes"] for store in opened) < 40 << 20, 30)
    for store in opened:
        store.close()


def test_damaged_block_is_never_mistaken_for_the_end_of_the_totals(tmp_path: Path) -> None:
    """The store has many blocks, so that the one with the checkpoint, read on opening, is intact."""
    store = stores(tmp_path, AsideObserver()).open(0)
    store.write({b"a%06d" % n: b"%d" % (n + 1) for n in range(40_000)}, CHECKPOINT)
    store._open().flush()
    store.close()
    (sst,) = (tmp_path / "partition-0").glob("*.sst")
    whole = bytearray(sst.read_bytes())
    whole[len(whole) // 2] ^= 1
    sst.write_bytes(whole)
    damaged = stores(tmp_path, AsideObserver()).open(0)
    with pytest.raises(Corrupt):
        list(damaged.items())
    damaged.close()
    with pytest.raises(Fatal):
        read_copy(tmp_path / "partition-0")
