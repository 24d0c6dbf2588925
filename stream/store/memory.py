"""A store in a dict, for simulations and tests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stream.core.fold import Changes
from stream.errors import Fatal
from stream.ports import Checkpoint


@dataclass(slots=True)
class MemoryDisk:
    """The content of a store, which survives a close or a crash."""

    totals: dict[bytes, bytes] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    in_use: bool = False
    identity: object = None


class MemoryStore:
    """Totals of one partition on a `MemoryDisk`."""

    def __init__(self, disk: MemoryDisk) -> None:
        if disk.in_use:
            raise Fatal("the store is already open")
        disk.in_use = True
        self._disk: MemoryDisk | None = disk

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self._open().checkpoint

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        disk = self._open()
        assert disk.checkpoint is None or checkpoint.changelog_offset >= disk.checkpoint.changelog_offset
        disk.totals.update(changes)
        disk.checkpoint = checkpoint

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        return sorted(self._open().totals.items())

    def figures(self) -> Mapping[str, int]:
        return {"keys": len(self._open().totals)}

    def close(self) -> None:
        if self._disk is not None:
            self._disk.in_use = False
            self._disk = None

    def _open(self) -> MemoryDisk:
        assert self._disk is not None, "the store is closed"
        return self._disk
