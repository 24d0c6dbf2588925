"""The port `Stores` in memory, on a disk that the test keeps or discards."""

from collections.abc import Iterable

from stream.core.fold import Changes
from stream.ports import Checkpoint
from stream.store.memory import MemoryDisk, MemoryStore
from stream.testing.faults import Faults, faulty


class FakeStore(MemoryStore):
    """A store whose calls may fail."""

    def __init__(self, disk: MemoryDisk, faults: Faults) -> None:
        super().__init__(disk)
        self.faults = faults

    @faulty("store.items")
    def items(self) -> Iterable[tuple[bytes, bytes]]:
        return super().items()

    @faulty("store.write")
    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        super().write(changes, checkpoint)

    @faulty("store.close")
    def close(self) -> None:
        super().close()


class FakeStores:
    """The stores of one worker, on `disks` (partition -> disk), which the test keeps or discards."""

    def __init__(
        self,
        disks: dict[int, MemoryDisk] | None = None,
        faults: Faults | None = None,
        identity: object = None,
    ) -> None:
        """A disk with another `identity` is set aside."""
        self.faults = faults or Faults()
        self._identity = identity
        self.disks = {} if disks is None else disks
        self.aside: list[tuple[int, MemoryDisk, str]] = []

    @faulty("stores.open")
    def open(self, partition: int) -> FakeStore:
        if partition in self.disks and self.disks[partition].identity not in {None, self._identity}:
            self.set_aside(partition, "it belongs to another topic")
        disk = self.disks.setdefault(partition, MemoryDisk())
        disk.identity = self._identity
        return FakeStore(disk, self.faults)

    @faulty("stores.set_aside")
    def set_aside(self, partition: int, why: str) -> None:
        disk = self.disks.pop(partition)
        assert not disk.in_use
        self.aside.append((partition, disk, why))

    def crash(self) -> None:
        """Release the locks, as if the process had died."""
        for disk in self.disks.values():
            disk.in_use = False
