"""The stores, watched: how large they are, and which totals are the greatest; looked at every few seconds."""

import shutil
from collections import Counter
from collections.abc import Iterator
from heapq import nlargest
from itertools import islice
from pathlib import Path

from stream.ports import Changes, Checkpoint, Store, Stores
from stream.telemetry.metrics import Row
from stream.telemetry.watch import Watch

SAMPLE_S = 5.0
TOP = 10
LOOKED_AT_MAX = 50_000  # totals of one write, in which what is frequent will be


class WatchedStores:
    """`Stores` that tell of their size, and of the greatest totals that were written."""

    def __init__(self, stores: Stores, watch: Watch, folder: Path) -> None:
        self._stores = stores
        self._watch = watch
        self._folder = folder
        self._open: dict[int, WatchedStore] = {}
        self._sampled = 0.0
        self.set_aside = stores.set_aside

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
        metrics.store_keys.rows = {(str(p),): of["keys"] for p, of in figures.items()}
        metrics.store_bytes.rows = {(str(p),): of.get("file_bytes", 0) for p, of in figures.items()}
        memory, jobs = Counter[str](), Counter[str]()
        for of in figures.values():
            memory.update({part: of.get(f"{part}_bytes", 0) for part in ("memtable", "table_reader")})
            jobs.update({kind: of.get(kind, 0) for kind in ("flush", "compaction")})
        memory["block_cache"] = max((of.get("block_cache_bytes", 0) for of in figures.values()), default=0)
        metrics.store_memory.rows = {(part,): n for part, n in memory.items()}
        metrics.store_compactions.rows = {(kind,): n for kind, n in jobs.items()}
        metrics.store_stopped.set(sum(of.get("stopped", 0) for of in figures.values()))
        metrics.disk_free.set(shutil.disk_usage(self._folder).free)
        metrics.top_signatures.rows = self._top()

    def _top(self) -> dict[Row, float]:
        totals: Counter[str] = Counter()
        for store in self._open.values():
            store.look()
            totals.update(store.top)
        return {(signature,): total for signature, total in totals.most_common(TOP)}


class WatchedStore:
    """A `Store` that remembers its greatest totals.

    Attributes:
        top: signature -> total; what changes often is in nearly each write, so one of many is looked at.
        closed: whether it is.
    """

    def __init__(self, store: Store, watch: Watch) -> None:
        self._store = store
        self._watch = watch
        self._written: Changes = {}
        self.top: dict[str, int] = {}
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
        self._written = changes

    def look(self) -> None:
        """Take the greatest totals of the last write in."""
        written, self._written = self._written, {}
        largest = nlargest(TOP, _totals(written))
        self.top |= {key: total for total, key in largest}
        self.top = dict(nlargest(TOP, self.top.items(), key=lambda item: item[1]))

    def close(self) -> None:
        """Close."""
        self.closed = True
        self._store.close()


def _totals(written: Changes) -> Iterator[tuple[int, str]]:
    return ((int(total), key.decode()) for key, total in islice(written.items(), LOOKED_AT_MAX))
