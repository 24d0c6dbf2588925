"""The group coordinator: members with epochs, owners of partitions, committed offsets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stream.core.evidence import CommittedOffset
from stream.errors import Abortable, Retriable
from stream.ports import Clock


@dataclass(frozen=True, slots=True)
class Membership:
    """The group metadata of a member: its id and its epoch."""

    member: str
    epoch: int


@dataclass(slots=True)
class _Member:
    """A member.

    Attributes:
        epoch: the epoch of the assignment that the member has accepted.
        last_heartbeat_at: when its last heartbeat arrived.
        polled_at: when it last polled.
        beating: whether its process runs, so that heartbeats arrive.
    """

    epoch: int
    last_heartbeat_at: float
    polled_at: float
    beating: bool = True


class FakeGroup:
    """One consumer group on one topic. Assignment is incremental: revoked first, then assigned to another."""

    def __init__(
        self,
        clock: Clock,
        partitions: int,
        session_timeout_s: float,
        poll_interval_s_max: float,
        *,
        classic: bool = False,
    ) -> None:
        """`classic`: only offsets with the member's current epoch are accepted, see `check`."""
        self._clock = clock
        self._partitions = partitions
        self._session_timeout_s = session_timeout_s
        self._poll_interval_s_max = poll_interval_s_max
        self._members: dict[str, _Member] = {}
        self._owner: dict[int, str] = {}
        self._assigned_at: dict[int, int] = {}  # partition -> epoch in which its owner got it
        self._classic = classic
        self._joined = 0
        self._settled = clock.monotonic()
        self._committed: dict[int, CommittedOffset] = {}
        self._pending: dict[object, dict[int, CommittedOffset]] = {}  # transaction -> its offsets
        self.epoch = 0

    # -- members ---------------------------------------------------------------------------------------

    def join(self) -> str:
        """Add a member; return its id."""
        self.settle()
        self._joined += 1
        member, now = f"member-{self._joined}", self._clock.monotonic()
        self.epoch += 1
        self._members[member] = _Member(self.epoch, last_heartbeat_at=now, polled_at=now)
        return member

    def leave(self, member: str) -> None:
        """Remove a member, if present; its partitions are free at once."""
        if self._members.pop(member, None) is not None:
            self.release(member, self.owned(member))
            self.epoch += 1

    def has(self, member: str) -> bool:
        """Whether this member is still in the group."""
        self.settle()
        return member in self._members

    def beat(self, member: str, *, beating: bool) -> None:
        """Stop or resume the heartbeats of a member's process."""
        self.settle()
        if member in self._members:
            self._members[member].beating = beating

    def settle(self) -> None:
        """Apply the time that passed: heartbeats of living members, removal of silent ones."""
        now = self._clock.monotonic()
        if now == self._settled:
            return
        self._settled = now
        for name, member in list(self._members.items()):
            if member.beating:
                member.last_heartbeat_at = now
            is_silent = now - member.last_heartbeat_at > self._session_timeout_s
            if is_silent or now - member.polled_at > self._poll_interval_s_max:
                self.leave(name)

    # -- assignment ------------------------------------------------------------------------------------

    def owned(self, member: str) -> list[int]:
        """Return the partitions that the member owns."""
        return [p for p in range(self._partitions) if self._owner.get(p) == member]

    def target(self, member: str) -> list[int]:
        """Return the partitions that the member should own."""
        position = list(self._members).index(member)
        return list(range(position, self._partitions, len(self._members)))

    def owners(self) -> Mapping[int, str]:
        """Return the owner of every partition that has one."""
        return dict(self._owner)

    def poll(self, member: str) -> tuple[list[int], list[int]]:
        """Serve a poll: return the partitions to revoke, and those that the member owns from now on.

        The member reaches the group's epoch once it has nothing to give up.
        """
        self._members[member].polled_at = self._clock.monotonic()
        target = self.target(member)
        owned = self.owned(member)
        gained = [p for p in target if p not in self._owner]
        for partition in gained:
            self._owner[partition] = member
            self._assigned_at[partition] = self.epoch
        revoked = [p for p in owned if p not in target]
        if not revoked:
            self._members[member].epoch = self.epoch
        return revoked, gained

    def release(self, member: str, partitions: Sequence[int]) -> None:
        """Accept partitions that a member has given up."""
        for partition in partitions:
            if self._owner.get(partition) == member:
                del self._owner[partition]
        if member in self._members:
            self._members[member].epoch = self.epoch

    def rebalance(self) -> None:
        """Start the next epoch without a cause; heartbeats report it to members that give up nothing."""
        self.epoch += 1
        for name, member in self._members.items():
            if member.beating and set(self.owned(name)) <= set(self.target(name)):
                member.epoch = self.epoch

    def membership(self, member: str) -> Membership:
        """Return the member's group metadata as of now."""
        return Membership(member, self._members[member].epoch)

    def check(self, membership: Membership | None, partitions: Iterable[int]) -> None:
        """Check the membership that came with transactional offsets; Kafka also accepts offsets without one.

        Under the consumer protocol an older epoch is accepted for partitions that the member has owned since
        then (KIP-1251, Kafka 4.3).

        Raises:
            Abortable: the sender is not, or no longer, a member, or it has another epoch.
        """
        if membership is None:
            return
        self.settle()
        name, epoch = membership.member, membership.epoch
        member = self._members.get(name)
        if member is not None and member.epoch == epoch:
            return
        if member is None or self._classic or epoch > member.epoch:
            raise Abortable(f"{membership} is stale")
        if any(self._owner.get(p) != name or self._assigned_at[p] > epoch for p in partitions):
            raise Abortable(f"{membership} is older than its partitions")

    # -- offsets ---------------------------------------------------------------------------------------

    def committed(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Return stable committed offsets.

        Raises:
            Retriable: one of them is pending in a transaction (UNSTABLE_OFFSET_COMMIT).
        """
        for pending in self._pending.values():
            if not pending.keys().isdisjoint(partitions):
                raise Retriable("an offset commit is pending")
        return self.unstable(partitions)

    def unstable(self, partitions: Sequence[int]) -> Mapping[int, CommittedOffset | None]:
        """Return committed offsets, whether or not others are pending."""
        return {partition: self._committed.get(partition) for partition in partitions}

    def commit(self, offsets: Mapping[int, CommittedOffset]) -> None:
        """Set committed offsets outside any transaction, as an operator does."""
        self._committed.update(offsets)

    def forget_offset(self, partition: int) -> None:
        """Delete a committed offset, as if it had expired."""
        self._committed.pop(partition, None)

    def forget_offsets(self) -> None:
        """Delete all offsets, including pending ones, as if the topic had been deleted."""
        self._committed.clear()
        self._pending.clear()

    def add_pending(self, transaction: object, offsets: Mapping[int, CommittedOffset]) -> None:
        """Keep offsets until their transaction ends."""
        self._pending.setdefault(transaction, {}).update(offsets)

    def end_pending(self, transaction: object, *, commit: bool) -> None:
        """Apply the marker of a transaction."""
        offsets = self._pending.pop(transaction, {})
        if commit:
            self._committed.update(offsets)
