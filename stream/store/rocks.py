"""Stores the totals of a partition and their checkpoint in RocksDB, in one write batch.

    partition-3/        one RocksDB each, raw bytes, one column family
        <key>           the running total, as in the count topic
        NUL checkpoint  changelog offset, input offset (8 bytes each, big-endian); the latter is optional
        NUL restoring   present only while a restore has not reached its end; earlier versions ignore it
        NUL identity    `StoreIdentity` as JSON; a store of another identity is set aside, never mixed

No key of a fold starts with a NUL byte, so it never equals one of the store's own keys.
"""

import contextlib
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    MemtableFactory,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from stream.core.fold import Changes
from stream.errors import Fatal, Refused, Retriable
from stream.events import Observer
from stream.ports import Checkpoint, Clock
from stream.store.identity import StoreIdentity, encode_identity, identity_of

_CHECKPOINT = b"\x00checkpoint"
_IDENTITY = b"\x00identity"
_RESTORING = b"\x00restoring"
_FIRST_KEY = b"\x01"
_DAMAGED = "DAMAGED"
_MIB = 1024 * 1024
_FIGURES = {
    "keys": "estimate-num-keys",
    "file_bytes": "live-sst-files-size",
    "memtable_bytes": "cur-size-all-mem-tables",
    "table_reader_bytes": "estimate-table-readers-mem",
    "block_cache_bytes": "block-cache-usage",
    "compaction": "num-running-compactions",
    "flush": "num-running-flushes",
    "stopped": "is-write-stopped",
}
# Shared by all partitions of the process. A store is read once, so the cache is small.
_BLOCK_CACHE = Cache(8 * _MIB)
_MEMTABLES = WriteBufferManager(16 * _MIB, allow_stall=False)


class RocksStore:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: Rdict | None = None
        try:
            self._db = Rdict(str(path), _options())
            self._checkpoint = _read_checkpoint(self._db)
        except Exception as error:  # noqa: BLE001 - rocksdict raises no narrower class
            self.close()  # the database may be open and have damaged blocks
            fail(path, error)

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self._checkpoint

    @property
    def identity(self) -> bytes | None:
        """The identity as it was written; None for a new store."""
        try:
            identity = self._open().get(_IDENTITY)
        except Exception as error:  # noqa: BLE001 - rocksdict raises no narrower class
            fail(self.path, error)
        return bytes(identity) if identity is not None else None

    def claim(self, identity: bytes) -> None:
        """Write the identity into a new store."""
        self._write({_IDENTITY: identity})

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Write totals and checkpoint in one atomic batch.

        Not synced: after a power failure RocksDB has an earlier batch, and the changelog has the rest.
        """
        assert self._checkpoint is None or checkpoint.changelog_offset >= self._checkpoint.changelog_offset
        own = {_CHECKPOINT: _encode_checkpoint(checkpoint)}
        was_restoring = self._checkpoint is not None and self._checkpoint.is_restoring
        if checkpoint.is_restoring:
            own[_RESTORING] = b""
        self._write(
            changes, own, delete=(_RESTORING,) if was_restoring and not checkpoint.is_restoring else ()
        )
        self._checkpoint = checkpoint

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        database = self._open()
        try:
            yield from _totals(database)
        except Exception as error:  # noqa: BLE001 - rocksdict raises no narrower class
            fail(self.path, error)

    def figures(self) -> Mapping[str, int]:
        """Return RocksDB's measurements; `keys` counts a key once more for each change not yet compacted."""
        database = self._open()
        try:
            figures = {name: database.property_int_value(f"rocksdb.{key}") for name, key in _FIGURES.items()}
        except Exception:  # noqa: BLE001 - rocksdict raises no narrower class; a measurement may fail
            return {}
        return {name: figure for name, figure in figures.items() if figure is not None}

    def close(self) -> None:
        if self._db is not None:
            database, self._db = self._db, None
            with contextlib.suppress(Exception):  # a full disk; the changelog has what the store lacks
                database.close()

    def _write(self, *several: Mapping[bytes, bytes], delete: Iterable[bytes] = ()) -> None:
        batch = WriteBatch(raw_mode=True)
        for key in delete:
            batch.delete(key)
        for entries in several:
            deque(map(batch.put, entries.keys(), entries.values()), maxlen=0)  # a loop, in C
        try:
            self._open().write(batch)
        except Exception as error:  # noqa: BLE001 - rocksdict raises no narrower class
            fail(self.path, error)

    def _open(self) -> Rdict:
        assert self._db is not None, "the store is closed"
        return self._db


class Corrupt(Fatal):
    """The files are damaged: set the store aside, and restore."""


class RocksStores:
    """The stores of one worker, in their own folder."""

    def __init__(self, folder: Path, identity: StoreIdentity, clock: Clock, observer: Observer) -> None:
        self._folder = folder
        self._identity = encode_identity(identity)
        self._clock = clock
        self._observer = observer

    def open(self, partition: int) -> RocksStore:
        """Open the partition's store; a damaged or foreign one is set aside first.

        Raises:
            Retriable: another process uses the store.
            Fatal: the disk cannot hold it.
        """
        path = self._path(partition)
        if (path / _DAMAGED).exists():
            self._replace(partition, "its files are damaged (found while it was in use)")
        try:
            store, identity = _identified(path)
        except Corrupt as why:
            self._replace(partition, f"its files are damaged ({why})")
            store, identity = RocksStore(path), None
        if identity not in {None, self._identity}:
            store.close()
            self._replace(partition, "it belongs to another cluster, topic, dictionary or format")
            store, identity = RocksStore(path), None
        if identity is None:
            store.claim(self._identity)
        return store

    def set_aside(self, partition: int, why: str) -> None:
        """Rename a closed store; the file `WHY` in it states the reason."""
        path = self._path(partition)
        stamp = int(self._clock.now() * 1000)
        aside = path.with_name(f"{path.name}.aside-{stamp}")
        path.rename(aside)
        (aside / "WHY").write_text(why + "\n", encoding="utf-8")

    def _replace(self, partition: int, why: str) -> None:
        self.set_aside(partition, why)
        self._observer.set_aside(partition, why)

    def _path(self, partition: int) -> Path:
        return self._folder / f"partition-{partition}"


def _identified(path: Path) -> tuple[RocksStore, bytes | None]:
    """Open a store and read its identity; a store that opens may have damaged blocks."""
    store = RocksStore(path)
    try:
        return store, store.identity
    except Corrupt:
        store.close()
        raise


def read_copy(path: Path) -> tuple[StoreIdentity | None, Checkpoint | None, dict[bytes, bytes]]:
    """Read a store without its lock: its worker may continue meanwhile.

    Raises:
        Fatal: the store cannot be read, perhaps because its worker is changing it.
    """
    database: Rdict | None = None
    try:
        database = Rdict(str(path), _options(), access_type=AccessType.read_only())
        identity, checkpoint = database.get(_IDENTITY), _read_checkpoint(database)
        totals = dict(_totals(database))
    except Exception as error:  # rocksdict raises no narrower class
        raise Fatal(f"the store {path} cannot be read: {error}") from error
    finally:
        if database is not None:
            database.close()
    return identity_of(identity), checkpoint, totals


def write_copy(path: Path, identity: StoreIdentity, totals: Changes, input_offset: int) -> None:
    """Write a new store next to those of the workers: totals that cover the input before `input_offset`.

    Its changelog position is 0, so a worker that opens it applies the whole changelog on top.

    Raises:
        Refused: the disk is full.
        Fatal: the store cannot be written.
    """
    store = RocksStore(path)
    try:
        store.claim(encode_identity(identity))
        store.write(totals, Checkpoint(0, input_offset))
    finally:
        store.close()


def _totals(database: Rdict) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the totals; raise if a block cannot be read."""
    # At such a block `Rdict.items` ends silently, as it does after the last total.
    iterator = database.iter()
    iterator.seek(_FIRST_KEY)
    while iterator.valid():
        yield iterator.key(), iterator.value()
        iterator.next()
    iterator.status()  # raises the error that ended the iteration


def _options() -> Options:
    """Return RocksDB's options. The dictionary bounds a store: about 90,000 keys of about 20 bytes."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    # Nothing is read while the worker runs: entries are sorted once, when they are written to a file.
    options.set_memtable_factory(MemtableFactory.vector())
    options.set_allow_concurrent_memtable_write(False)
    options.set_write_buffer_size(2 * _MIB)  # a large batch fills it; a larger buffer only takes memory
    options.set_max_write_buffer_number(2)
    options.set_write_buffer_manager(_MEMTABLES)
    options.set_arena_block_size(32 * 1024)  # the least memory of a memtable
    options.set_max_total_wal_size(64 * _MIB)  # bounds the log that RocksDB replays after a crash
    options.set_keep_log_file_num(2)
    options.set_max_background_jobs(2)
    options.set_max_open_files(64)
    options.set_compression_type(DBCompressionType.none())  # short values; CPU is scarcer than disk
    table = BlockBasedOptions()
    table.set_block_cache(_BLOCK_CACHE)
    options.set_block_based_table_factory(table)
    return options


def fail(path: Path, error: Exception) -> NoReturn:
    """Raise the error of this package that matches a RocksDB error."""
    text = str(error)
    if text.startswith(("Corruption", "Invalid argument", "Not implemented")) or "No such file" in text:
        # A damaged block is found only when it is read: the next start sets the store aside.
        with contextlib.suppress(OSError):
            (path / _DAMAGED).touch()
        raise Corrupt(text) from error
    if "lock hold" in text or "LOCK" in text:
        raise Retriable(f"the store {path} is in use by another process") from error
    if "No space left" in text or "File too large" in text:
        why = f"the disk is full: a write to {path} failed; a restart restores the store"
        raise Refused(why, "free disk space, then restart") from error
    raise Fatal(f"RocksDB failed on {path}: {text}") from error


def _encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    offsets = [
        offset for offset in (checkpoint.changelog_offset, checkpoint.input_offset) if offset is not None
    ]
    return struct.pack(f">{len(offsets)}Q", *offsets)


def _read_checkpoint(database: Rdict) -> Checkpoint | None:
    value = database.get(_CHECKPOINT)
    if value is None:
        return None
    offsets = struct.unpack(f">{len(value) // 8}Q", value)
    input_offset = offsets[1] if len(offsets) > 1 else None
    return Checkpoint(offsets[0], input_offset, is_restoring=database.get(_RESTORING) is not None)
