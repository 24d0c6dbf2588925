"""The transaction coordinator: producer ids with epochs, open transactions, markers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stream.core.evidence import CommittedOffset
from stream.errors import Fenced, Retriable
from stream.ports import Clock
from stream.testing.group import FakeGroup, Membership
from stream.testing.log import PartitionLog, Record, Share


@dataclass(frozen=True, slots=True)
class Marker:
    """The outcome of a decided transaction, before it is written to one log.

    Attributes:
        due: when the marker arrives, on the cluster's clock.
        write: writes the marker.
    """

    due: float
    write: Callable[[], None]


@dataclass(slots=True, eq=False)
class _Transaction:
    """An open transaction: its share of each log, and the groups with offsets pending in it."""

    began_at: float
    shares: dict[PartitionLog, Share] = field(default_factory=dict)
    groups: list[FakeGroup] = field(default_factory=list)


@dataclass(slots=True)
class _Id:
    """The coordinator's state of one transactional id.

    Attributes:
        epoch: the epoch of the one producer that may use the id.
        open: its open transaction.
        markers: markers of its decided transaction that are not written yet.
    """

    epoch: int = -1
    open: _Transaction | None = None
    markers: list[Marker] = field(default_factory=list)


class Coordinator:
    """Decides transactions and sends their markers, to each log at its own time (KAFKA-10167).

    Attributes:
        timeout_s: a transaction open for longer is aborted, and the epoch of its producer increases.
        delay_s: returns how many seconds the next marker takes.
    """

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self.timeout_s = timeout_s
        self.delay_s: Callable[[], float] = lambda: 0.0
        self._ids: dict[str, _Id] = {}
        self._settled = clock.monotonic()

    def init(self, transactional_id: str) -> int:
        """Fence the older producer of this id, end its transaction; return the new producer's epoch.

        Raises:
            Retriable: markers of the id's last transaction are not written yet.
        """
        self.settle()
        entry = self._ids.setdefault(transactional_id, _Id())
        entry.epoch += 1
        if entry.open is not None:
            self._decide(entry, commit=False)
        if entry.markers:
            raise Retriable(f"{transactional_id}: its last transaction is still being ended")
        return entry.epoch

    def append(self, transactional_id: str, epoch: int, log: PartitionLog, record: Record) -> int:
        """Append a record in the id's transaction, which the first call begins; return its offset.

        Raises:
            Fenced: the epoch is outdated.
        """
        transaction = self._join(self._check(transactional_id, epoch))
        if log not in transaction.shares:
            transaction.shares[log] = log.share()
        return log.append(record, transaction.shares[log])

    def send_offsets(
        self,
        transactional_id: str,
        epoch: int,
        group: FakeGroup,
        offsets: Mapping[int, CommittedOffset],
        membership: Membership | None,
    ) -> None:
        """Keep offsets pending in the group until the transaction's marker reaches it.

        Raises:
            Fenced: the epoch is outdated.
            Abortable: the sender is not, or no longer, in the group.
        """
        entry = self._check(transactional_id, epoch)
        group.check(membership, offsets)
        transaction = self._join(entry)
        if group not in transaction.groups:
            transaction.groups.append(group)
        group.add_pending(transaction, offsets)

    def end(self, transactional_id: str, epoch: int, *, commit: bool) -> None:
        """Decide the id's open transaction, if it has one; its markers follow.

        Raises:
            Fenced: the epoch is outdated.
        """
        entry = self._check(transactional_id, epoch)
        if entry.open is not None:
            self._decide(entry, commit=commit)

    def settle(self) -> None:
        """Abort transactions that are open for too long; write the markers that are due."""
        now = self._clock.monotonic()
        if now == self._settled:
            return
        self._settled = now
        for entry in self._ids.values():
            if entry.open is not None and now - entry.open.began_at > self.timeout_s:
                entry.epoch += 1
                self._decide(entry, commit=False)
            if entry.markers:
                self._write(entry, now)

    def is_settled(self) -> bool:
        """Whether no transaction is open and no marker is pending."""
        return not any(entry.open or entry.markers for entry in self._ids.values())

    def _check(self, transactional_id: str, epoch: int) -> _Id:
        self.settle()
        entry = self._ids[transactional_id]
        assert epoch <= entry.epoch
        if self.is_fenced(epoch, entry.epoch):
            raise Fenced(f"{transactional_id}: epoch {epoch} is older than {entry.epoch}")
        return entry

    def is_fenced(self, epoch: int, current: int) -> bool:
        """Whether a producer of this epoch may no longer use its id."""
        return epoch < current

    def _join(self, entry: _Id) -> _Transaction:
        if entry.open is None:
            self._write(entry, float("inf"))  # the client waits until the last transaction is complete
            entry.open = _Transaction(self._clock.monotonic())
        return entry.open

    def _decide(self, entry: _Id, *, commit: bool) -> None:
        transaction = entry.open
        assert transaction is not None
        assert not entry.markers
        entry.open = None
        now = self._clock.monotonic()
        for log, share in transaction.shares.items():
            write = _mark(log, share, commit=commit)
            entry.markers.append(Marker(now + self.delay_s(), write))
        for group in transaction.groups:
            write = _end_pending(group, transaction, commit=commit)
            entry.markers.append(Marker(now + self.delay_s(), write))
        self._write(entry, now)

    @staticmethod
    def _write(entry: _Id, now: float) -> None:
        for marker in entry.markers:
            if marker.due <= now:
                marker.write()
        entry.markers = [marker for marker in entry.markers if marker.due > now]


def _mark(log: PartitionLog, share: Share, *, commit: bool) -> Callable[[], None]:
    return lambda: log.mark(share, commit=commit)


def _end_pending(group: FakeGroup, transaction: object, *, commit: bool) -> Callable[[], None]:
    return lambda: group.end_pending(transaction, commit=commit)
