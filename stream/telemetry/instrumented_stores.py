"""The stores, watched: how large they are, and which totals are the greatest; looked at every few seconds."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from stream.core.totals import Totals, largest
from stream.ports import Changes, Checkpoint, Store, Stores
from stream.telemetry.instrumented import Instruments

SAMPLE_S = 5.0
TOP = 10


class InstrumentedStores:
    """`Stores` that tell of their size, and of the greatest totals.

    Attributes:
        totals: gives those that are in memory, by partition.
    """

    def __init__(self, stores: Stores, watch: Instruments, folder: Path) -> None:
        self._stores = stores
        self._watch = watch
        self._folder = folder
        self._open: dict[int, WatchedStore] = {}
        self._sampled = 0.0
        self.set_aside = stores.set_aside
        self.totals: Callable[[], Mapping[int, Totals]] = dict

    def open(self, partition: int) -> "WatchedStore":
        """Open the partition's store."""
        store = WatchedStore(self._stores.open(partition), self._watch)
        self._open[partition] = store
        return store

    def sample(self) -> None:
        """Look at the stores, now and then: called by the loop's thread, to which they belong."""
        now = self._watch.clock.monotonic()
        if now - self._sampled < SAMPLE_S:
            return
        self._sampled = now
        self._open = {number: store for number, store in self._open.items() if not store.closed}
        figures = {number: store.figures() for number, store in self._open.items()}
        metrics = self._watch.metrics
        totals = self.totals()
        keys = {p: of.get("keys", 0) for p, of in figures.items()} | {p: t.counted for p, t in totals.items()}
        metrics.store_keys.rows = {(str(p),): n for p, n in keys.items() if p in figures}
        metrics.store_bytes.rows = {(str(p),): of.get("file_bytes", 0) for p, of in figures.items()}
        memory, jobs = Counter[str](), Counter[str]()
        for of in figures.values():
            memory.update({part: of.get(f"{part}_bytes", 0) for part in ("memtable", "table_reader")})
            jobs.update({kind: of.get(kind, 0) for kind in ("flush", "compaction")})
        memory["block_cache"] = max((of.get("block_cache_bytes", 0) for of in figures.values()), default=0)
        metrics.store_memory.rows = {(part,): n for part, n in memory.items()}
        metrics.store_compactions.rows = {(kind,): n for kind, n in jobs.items()}
        metrics.store_stopped.set(sum(of.get("stopped", 0) for of in figures.values()))
        top = largest(list(totals.values()), TOP)
        metrics.top_signatures.rows = {(signature.decode(),): total for signature, total in top.items()}
        with contextlib.suppress(OSError):  # somebody deleted the folder; the stores will say so
            metrics.disk_free.set(shutil.disk_usage(self._folder).free)


class WatchedStore:
    """A `Store` that tells how long a write takes, and whether it is closed."""

    def __init__(self, store: Store, watch: Instruments) -> None:
        self._store = store
        self._watch = watch
        self.closed = False
        self.items = store.items
        self.figures = store.figures

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What the last write said."""
        return self._store.checkpoint

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Write totals and checkpoint."""
        with self._watch.phase("store"):
            self._store.write(changes, checkpoint)

    def close(self) -> None:
        """Close."""
        self.closed = True
        self._store.close()
