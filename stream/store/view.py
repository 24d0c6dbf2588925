"""Stores what `serve` has read, and how far: totals, results and dead letters, in one RocksDB.

    column family   key                                      value
    default         i                                        JSON: the cluster and topics that it belongs to
                    p PARTITION TOPIC                        the next offset to read (8 bytes)
                    n NAME                                   a counter (8 bytes), for example of a reason
                    t PARTITION SIGNATURE                    the total, as in the count topic
    outcomes        KIND PARTITION OFFSET                    a result or dead letter, by its own position
    sources         PARTITION OFFSET                         key of its outcome, by the position of the input
    ids             blob id                                  key of the newest outcome of that blob

Partitions have 4 bytes and offsets 8, big-endian, so that the order of keys is that of the log. The last
three families are bounded: RocksDB's FIFO compaction deletes their oldest files.
"""

import contextlib
import shutil
import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    Cache,
    ColumnFamily,
    DBCompactionStyle,
    DBCompressionType,
    FifoCompactOptions,
    Options,
    Rdict,
    WriteBatch,
)

from stream.core.fold import Changes
from stream.store.rocks import Corrupt, fail

_IDENTITY, _POSITION, _NUMBER, _TOTAL = b"i", b"p", b"n", b"t"
_OUTCOMES, _SOURCES, _IDS = "outcomes", "sources", "ids"
_OFFSET = struct.Struct(">Q")
_PARTITION = struct.Struct(">I")
_SOURCE = struct.Struct(">IQ")
_KIND_BYTES = 1
_ID_BYTES_MAX = 64  # a longer id is stored as its hash; no id begins with 0xff, which is not UTF-8
_MIB = 1024 * 1024
_FILES = 32  # number of files of a bounded family; the oldest file is deleted as a whole
_INDEX_SHARE = 8  # an index takes at most an eighth of the bytes of the outcomes
_BLOOM_BITS = 10


def outcome_key(kind: bytes, partition: int, offset: int) -> bytes:
    """Return the key of an outcome by its own position; `kind` is one byte."""
    return kind + _SOURCE.pack(partition, offset)


def outcome_position(key: bytes) -> tuple[bytes, int, int]:
    """Return kind, partition and offset of a key."""
    return (key[:_KIND_BYTES], *_SOURCE.unpack(key[_KIND_BYTES:]))


class ViewBatch:
    """Changes of a view that are written together."""

    def __init__(self, store: "ViewStore") -> None:
        self._batch = WriteBatch(raw_mode=True)
        self._store = store

    def put_totals(self, partition: int, changes: Changes) -> None:
        prefix = _TOTAL + _PARTITION.pack(partition)
        for signature, total in changes.items():
            self._batch.put(prefix + signature, total)

    def put_position(self, topic: str, partition: int, offset: int) -> None:
        self._batch.put(_position_key(topic, partition), _OFFSET.pack(offset))

    def put_number(self, name: str, number: int) -> None:
        self._batch.put(_NUMBER + name.encode(), _OFFSET.pack(number))

    def put_outcome(self, key: bytes, blob_id: bytes, source: tuple[int, int], value: bytes) -> None:
        families = self._store.families
        self._batch.put(key, value, families[_OUTCOMES])
        self._batch.put(_SOURCE.pack(*source), key, families[_SOURCES])
        self._batch.put(_id_key(blob_id), key, families[_IDS])

    def write(self) -> None:
        """Write all changes; not synced, because the topics have what a power failure destroys."""
        self._store.write(self._batch)


class ViewStore:
    """One view on disk. Reads may run concurrently with the only thread that writes."""

    def __init__(self, path: Path, outcome_bytes_max: int) -> None:
        """Open it.

        Raises:
            Corrupt: the files are damaged.
            Retriable: another process uses the view.
            Refused, Fatal: the disk cannot hold it.
        """
        self._path = path
        self._db: Rdict | None = None
        self.families: dict[str, ColumnFamily] = {}
        self._by_name: dict[str, Rdict] = {}
        bounded = {
            _OUTCOMES: _bounded(outcome_bytes_max),
            _SOURCES: _bounded(outcome_bytes_max // _INDEX_SHARE),
            _IDS: _bounded(outcome_bytes_max // _INDEX_SHARE),
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(str(path), _common(), {"default": _common(), **bounded})
            self.families = {name: self._db.get_column_family_handle(name) for name in bounded}
            self._by_name = {name: self._db.get_column_family(name) for name in bounded}
        except Exception as error:  # noqa: BLE001 - rocksdict raises no narrower class
            self.close()
            fail(path, error)

    @property
    def identity(self) -> bytes | None:
        """What the view belongs to; None if it is new."""
        return self._get(_IDENTITY)

    def claim(self, identity: bytes) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.put(_IDENTITY, identity)
        self.write(batch)

    def batch(self) -> ViewBatch:
        return ViewBatch(self)

    def write(self, batch: WriteBatch) -> None:
        try:
            self._open().write(batch)
        except Exception as error:  # noqa: BLE001 - rocksdict raises no narrower class
            fail(self._path, error)

    def positions(self) -> Mapping[tuple[str, int], int]:
        """Return the next offset to read by topic and partition."""
        return {
            (key[5:].decode(), _PARTITION.unpack(key[1:5])[0]): _OFFSET.unpack(value)[0]
            for key, value in self._from("default", _POSITION)
        }

    def numbers(self) -> Mapping[str, int]:
        """Return the counters by name."""
        numbers = self._from("default", _NUMBER)
        return {key[1:].decode(): _OFFSET.unpack(value)[0] for key, value in numbers}

    def totals(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield partition, signature and total."""
        for key, value in self._from("default", _TOTAL):
            yield _PARTITION.unpack(key[1:5])[0], key[5:], value

    def outcome(self, key: bytes) -> bytes | None:
        return self._get(key, _OUTCOMES)

    def outcome_of_source(self, partition: int, offset: int) -> bytes | None:
        """Return the key of the outcome of an input record; None if it has not been read, or was deleted."""
        return self._get(_SOURCE.pack(partition, offset), _SOURCES)

    def newest_outcome(self, blob_id: bytes) -> bytes | None:
        """Return the key of the newest outcome of a blob id."""
        return self._get(_id_key(blob_id), _IDS)

    def outcomes_from(self, kind: bytes, partition: int, offset: int) -> Iterator[tuple[int, bytes]]:
        """Yield offset and value of the outcomes of a partition from an offset on."""
        prefix = kind + _PARTITION.pack(partition)
        for key, value in self._after(_OUTCOMES, outcome_key(kind, partition, offset)):
            if not key.startswith(prefix):
                return
            yield _OFFSET.unpack(key[len(prefix) :])[0], value

    def close(self) -> None:
        if self._db is not None:
            database, self._db = self._db, None
            families, self._by_name, self.families = self._by_name, {}, {}
            with contextlib.suppress(Exception):  # a full disk; the topics have what the store lacks
                for family in families.values():
                    family.close()  # RocksDB keeps its lock until all of them are closed
                database.close()

    def _get(self, key: bytes, family: str = "default") -> bytes | None:
        database = self._open()
        try:
            value = (database if family == "default" else self._by_name[family]).get(key)
        except Exception as error:  # noqa: BLE001 - rocksdict raises no narrower class
            fail(self._path, error)
        return None if value is None else bytes(value)

    def _from(self, family: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._after(family, prefix):
            if not key.startswith(prefix):
                return
            yield key, value

    def _after(self, family: str, first: bytes) -> Iterator[tuple[bytes, bytes]]:
        database = self._open()
        try:
            iterator = (database if family == "default" else self._by_name[family]).iter()
            iterator.seek(first)
            while iterator.valid():
                yield iterator.key(), iterator.value()
                iterator.next()
            iterator.status()  # raises the error that ended the iteration
        except Exception as error:  # noqa: BLE001 - rocksdict raises no narrower class
            fail(self._path, error)

    def _open(self) -> Rdict:
        assert self._db is not None, "the view is closed"
        return self._db


def open_view(path: Path, identity: bytes, outcome_bytes_max: int) -> tuple[ViewStore, str]:
    """Open the view of an identity; start over if the existing view is damaged or has another identity.

    The second value is the reason to start over; it is empty if the view continues.

    Raises:
        Retriable: another process uses the view.
        Refused, Fatal: the disk cannot hold it.
    """
    why = ""
    try:
        store = ViewStore(path, outcome_bytes_max)
        before = store.identity
        if before in {None, identity}:
            if before is None:
                store.claim(identity)
            return store, ""
        store.close()
        why = "it belongs to another cluster or group, or to topics that were created again"
    except Corrupt as error:
        why = f"its files are damaged ({error})"
    return new_view(path, identity, outcome_bytes_max), why


def new_view(path: Path, identity: bytes, outcome_bytes_max: int) -> ViewStore:
    """Delete the existing view, and open an empty one.

    Raises:
        Refused, Fatal: the disk cannot hold it.
    """
    shutil.rmtree(path)
    store = ViewStore(path, outcome_bytes_max)
    store.claim(identity)
    return store


def _position_key(topic: str, partition: int) -> bytes:
    return _POSITION + _PARTITION.pack(partition) + topic.encode()


def _id_key(blob_id: bytes) -> bytes:
    if len(blob_id) <= _ID_BYTES_MAX:
        return blob_id
    return b"\xff" + blake2b(blob_id, digest_size=32).digest()


def _common() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_write_buffer_size(4 * _MIB)
    options.set_max_total_wal_size(64 * _MIB)
    options.set_keep_log_file_num(2)
    options.set_max_background_jobs(2)
    options.set_compression_type(DBCompressionType.none())
    return options


def _bounded(bytes_max: int) -> Options:
    """Return the options of a family that is limited to about `bytes_max`."""
    options = _common()
    options.set_write_buffer_size(max(_MIB, min(16 * _MIB, bytes_max // _FILES)))
    options.set_compression_type(DBCompressionType.lz4())
    options.set_compaction_style(DBCompactionStyle.fifo())
    fifo = FifoCompactOptions()
    fifo.max_table_files_size = bytes_max
    options.set_fifo_compaction_options(fifo)
    table = BlockBasedOptions()
    table.set_bloom_filter(_BLOOM_BITS, False)
    table.set_block_cache(Cache(16 * _MIB))
    options.set_block_based_table_factory(table)
    return options
