"""The scorecard of a campaign."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.tools.chaos.fleet import Restored
from stream.tools.chaos.plan import Fault

SENTENCES_MAX = 20


@dataclass(slots=True)
class Score:
    """What was done, and what came of it.

    Attributes:
        faults: by class.
        missed: those that met nobody, for the request that they waited for did not come.
        wire: what the proxy did, by request and action.
        commits: transactions committed, as the workers' metrics said when last asked: at least so many.
        aborts: by outcome, as the workers' logs said.
        records_aborted: results and dead letters that were written and then aborted.
        unseen: input that the broker has and no reader sees an outcome of, yet.
        stalls_s: fault class -> the worst time that a partition had input and no outcome, of faults alone.
        timeline: each fault: when (epoch seconds), what, and its stall where it was waited for.
        restored: a partition's restores after a start.
        transaction_records_max: most totals of one transaction and partition.
        aborted_seen: records that the concurrent reader saw and the final one did not.
        disordered: results before their predecessor's input, as either reader saw them.
        markers_skipped: how often Kafka left out transaction markers that it owed: not the workers' doing,
            and input that waits for them has no outcome.
        unchecked: what `verify` could not look at.
        differences: what else was not as it must be, in sentences.
    """

    seed: int
    protocol: str
    static: bool
    words: int = 0
    blobs: int = 0
    seconds: float = 0.0
    phase: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    wire: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    aborts: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    records_aborted: int = 0
    sent: int = 0
    outcomes: int = 0
    unseen: int = 0
    stalls_s: dict[str, list[float]] = field(default_factory=dict)
    timeline: list[tuple[float, str, float | None]] = field(default_factory=list)
    restored: Sequence[Restored] = ()
    transaction_records_max: int = 0
    lost: int = 0
    duplicated: int = 0
    torn: int = 0
    mismatched: int = 0
    aborted_seen: int = 0
    disordered: int = 0
    markers_skipped: int = 0
    unchecked: Sequence[str] = ()
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        broken = (self.lost, self.duplicated, self.torn, self.mismatched, self.aborted_seen, self.disordered)
        return not any(broken) and not self.unseen and not self.differences

    @property
    def worst_stall_s(self) -> float:
        """The worst stall of any class."""
        return max((stall for stalls in self.stalls_s.values() for stall in stalls), default=0.0)

    def note(self, at: float, fault: Fault, stall_s: float | None, *, alone: bool) -> None:
        """Note a fault that was healed, or, without a stall, one that the next did not wait for."""
        self.timeline.append((at, str(fault), stall_s))
        if alone and stall_s is not None:
            self.stalls_s.setdefault(str(fault.kind), []).append(stall_s)

    def differ(self, sentence: str) -> None:
        """Note what must not be."""
        if len(self.differences) < SENTENCES_MAX:
            self.differences.append(sentence)

    def restored_max(self, *, same: bool) -> int:
        """Return the most records that a restart had to restore, where the partition stayed or moved."""
        return max((each.records for each in self.restored if each.same is same), default=0)

    def restores(self, *, same: bool) -> int:
        """Return how many restores there were."""
        return sum(each.same is same for each in self.restored)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "seed": self.seed,
            "protocol": self.protocol,
            "static_membership": self.static,
            "words": self.words,
            "blobs": self.blobs,
            "seconds": round(self.seconds, 1),
            "holds": self.holds,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "torn": self.torn,
            "mismatched": self.mismatched,
            "aborted_seen": self.aborted_seen,
            "disordered": self.disordered,
            "unseen": self.unseen,
            "differences": self.differences,
            "unchecked": list(self.unchecked),
            "faults": dict(self.faults),
            "faults_total": self.faults.total(),
            "missed": dict(self.missed),
            "wire": dict(self.wire),
            "transactions": {"committed_at_least": self.commits, **self.aborts},
            "markers_skipped_by_kafka": self.markers_skipped,
            "records_aborted": self.records_aborted,
            "exits": {str(status): n for status, n in self.exits.items()},
            "stalls_s": {kind: [round(each, 2) for each in stalls] for kind, stalls in self.stalls_s.items()},
            "timeline": [
                {"at": round(at, 1), "fault": what, "stall_s": stall and round(stall, 2)}
                for at, what, stall in self.timeline
            ],
            "restored_records": {
                "same_store": {"restores": self.restores(same=True), "max": self.restored_max(same=True)},
                "moved": {"restores": self.restores(same=False), "max": self.restored_max(same=False)},
                "transaction_max": self.transaction_records_max,
            },
        }
