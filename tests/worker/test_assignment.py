import pytest

from stream.store.memory import MemoryDisk, MemoryStore
from stream.testing.observer import FakeObserver
from stream.worker.assignment import Assignment, Partition, PartitionState

LEGAL = {
    (PartitionState.RESTORING, PartitionState.RUNNING),
    (PartitionState.RESTORING, PartitionState.BLOCKED),
    (PartitionState.RESTORING, PartitionState.CLOSED),
    (PartitionState.RUNNING, PartitionState.RESTORING),
    (PartitionState.RUNNING, PartitionState.CLOSED),
    (PartitionState.BLOCKED, PartitionState.RESTORING),
    (PartitionState.BLOCKED, PartitionState.CLOSED),
}
MOVES = [(before, after) for before in PartitionState for after in PartitionState]


@pytest.mark.parametrize(("before", "after"), [move for move in MOVES if move not in LEGAL])
def test_illegal_move_asserts(before: PartitionState, after: PartitionState) -> None:
    with pytest.raises(AssertionError, match="partition 3"):
        Partition(3, before).move(after)


@pytest.mark.parametrize(("before", "after"), sorted(LEGAL))
def test_legal_move_is_made(before: PartitionState, after: PartitionState) -> None:
    partition = Partition(3, before)
    partition.move(after)
    assert partition.state is after


@pytest.mark.parametrize("how", ["revoked", "lost"])
def test_partition_that_goes_has_its_store_closed(how: str) -> None:
    observer, closed, disk = FakeObserver(), list[int](), MemoryDisk()
    assignment = Assignment(observer, closed.append)
    assignment.assigned([0, 1])
    assignment[1].store = MemoryStore(disk)
    getattr(assignment, how)([1])
    assert not disk.in_use
    assert closed == [1]
    assert [partition.number for partition in assignment] == [0]
    assert observer.events == [("assigned", [0, 1]), (how, [1])]


def test_partition_never_had_goes_without_a_word() -> None:
    closed = list[int]()
    assignment = Assignment(FakeObserver(), closed.append)
    assignment.lost([7])
    assert not closed


def test_partition_assigned_twice_begins_anew() -> None:
    closed, disk = list[int](), MemoryDisk()
    assignment = Assignment(FakeObserver(), closed.append)
    assignment.assigned([1])
    assignment[1].store = MemoryStore(disk)
    assignment[1].move(PartitionState.RUNNING)
    assignment.assigned([1])
    assert closed == [1]
    assert not disk.in_use
    assert assignment[1].state is PartitionState.RESTORING
    assert assignment[1].store is None


def test_only_running_partitions_are_worked_on() -> None:
    assignment = Assignment(FakeObserver(), lambda _: None)
    assignment.assigned([0, 1])
    for partition in assignment:
        partition.store = MemoryStore(MemoryDisk())
    assert not assignment.settled()
    assignment[0].move(PartitionState.RUNNING)
    assert list(assignment.running()) == [0]
    assignment[1].move(PartitionState.RUNNING)
    assert assignment.settled()


def test_close_gives_all_up() -> None:
    closed, disks = list[int](), [MemoryDisk(), MemoryDisk()]
    assignment = Assignment(FakeObserver(), closed.append)
    assignment.assigned([0, 1])
    for partition, disk in zip(assignment, disks, strict=True):
        partition.store = MemoryStore(disk)
    assignment.close()
    assert closed == [0, 1]
    assert not any(disk.in_use for disk in disks)
    assert not list(assignment)
