import pytest

from stream.errors import Refused
from stream.store.memory import MemoryDisk, MemoryStore
from stream.testing.anagrams import anagram_fold
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


def test_remove_closes_the_store() -> None:
    disk, assignment = MemoryDisk(), Assignment()
    assignment.add(0)
    assignment.add(1)
    assignment[1].store = MemoryStore(disk)
    assignment.remove(1)
    assert not disk.in_use
    assert [partition.number for partition in assignment] == [0]


def test_removing_a_partition_that_is_not_owned_is_harmless() -> None:
    Assignment().remove(7)


def test_running_lists_only_running_partitions() -> None:
    assignment = Assignment()
    for number in (0, 1):
        assignment.add(number)
        assignment[number].store = MemoryStore(MemoryDisk())
    assert not assignment.is_settled()
    assignment[0].move(PartitionState.RUNNING)
    assert list(assignment.running()) == [0]
    assignment[1].move(PartitionState.RUNNING)
    assert assignment.is_settled()


def test_close_removes_all_partitions_and_closes_their_stores() -> None:
    assignment, disks = Assignment(), [MemoryDisk(), MemoryDisk()]
    for number, disk in enumerate(disks):
        assignment.add(number)
        assignment[number].store = MemoryStore(disk)
    assignment.close()
    assert not any(disk.in_use for disk in disks)
    assert not list(assignment)


def test_totals_are_loaded_once_while_the_partition_runs() -> None:
    disk, fold, assignment = MemoryDisk(), anagram_fold(), Assignment()
    assignment.add(0)
    partition = assignment[0]
    partition.store = MemoryStore(disk)
    partition.move(PartitionState.RUNNING)
    totals = partition.load_totals(fold)
    assert partition.load_totals(fold) is totals
    assert assignment.totals() == {0: totals}
    partition.move(PartitionState.RESTORING)
    assert partition.load_totals(fold) is not totals


def test_store_with_totals_that_no_worker_writes_is_refused() -> None:
    disk = MemoryDisk({b"not in the dictionary": b"1"})
    partition = Partition(0, PartitionState.RUNNING, MemoryStore(disk))
    with pytest.raises(Refused, match="no worker writes"):
        partition.load_totals(anagram_fold())
