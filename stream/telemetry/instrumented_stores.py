"""Stores with measurements of writes and, every few seconds, of sizes."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from stream.core.fold import Changes
from stream.core.totals import SignatureTotals
from stream.ports import Checkpoint, Store, Stores
from stream.telemetry.instrumented import Instruments

SAMPLE_INTERVAL_S = 5.0


class InstrumentedStores:
    """`Stores` that measure writes and, in `sample`, sizes."""

    def __init__(
        self,
        stores: Stores,
        instruments: Instruments,
        folder: Path,
        totals: Callable[[], Mapping[int, SignatureTotals]] = dict,
    ) -> None:
        """`totals` returns the totals in memory, by partition."""
        self._stores = stores
        self._instruments = instruments
        self._folder = folder
        self._open: dict[int, InstrumentedStore] = {}
        self._sampled_s = 0.0
        self.set_aside = stores.set_aside
        self._totals = totals

    def open(self, partition: int) -> "InstrumentedStore":
        store = InstrumentedStore(self._stores.open(partition), self._instruments)
        self._open[partition] = store
        return store

    def sample(self) -> None:
        """Update the metrics, at most every few seconds. Call from the loop's thread: it owns the stores."""
        now = self._instruments.clock.monotonic()
        if now - self._sampled_s < SAMPLE_INTERVAL_S:
            return
        self._sampled_s = now
        self._open = {number: store for number, store in self._open.items() if not store.closed}
        figures = {number: store.figures() for number, store in self._open.items()}
        metrics = self._instruments.metrics
        totals = self._totals()
        keys = {p: sizes.get("keys", 0) for p, sizes in figures.items()} | {
            p: t.counted for p, t in totals.items()
        }
        metrics.store_keys.rows = {(str(p),): n for p, n in keys.items() if p in figures}
        metrics.store_bytes.rows = {(str(p),): sizes.get("file_bytes", 0) for p, sizes in figures.items()}
        memory, jobs = Counter[str](), Counter[str]()
        for sizes in figures.values():
            memory.update({part: sizes.get(f"{part}_bytes", 0) for part in ("memtable", "table_reader")})
            jobs.update({kind: sizes.get(kind, 0) for kind in ("flush", "compaction")})
        memory["block_cache"] = max(
            (sizes.get("block_cache_bytes", 0) for sizes in figures.values()), default=0
        )
        metrics.store_memory.rows = {(part,): n for part, n in memory.items()}
        metrics.store_compactions.rows = {(kind,): n for kind, n in jobs.items()}
        metrics.store_stopped.set(sum(sizes.get("stopped", 0) for sizes in figures.values()))
        with contextlib.suppress(OSError):  # the folder was deleted; the stores report that
            metrics.disk_free.set(shutil.disk_usage(self._folder).free)


class InstrumentedStore:
    """A `Store` that measures writes, and knows whether it is closed."""

    def __init__(self, store: Store, instruments: Instruments) -> None:
        self._store = store
        self._instruments = instruments
        self.closed = False
        self.items = store.items
        self.figures = store.figures

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self._store.checkpoint

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        with self._instruments.phase("store"):
            self._store.write(changes, checkpoint)

    def close(self) -> None:
        self.closed = True
        self._store.close()
