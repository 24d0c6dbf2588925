"""The scorecard of a campaign."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.tools.chaos.accident import AccidentReport
from stream.tools.chaos.plan import Fault
from stream.tools.chaos.worker_log import Restored

SENTENCES_MAX = 20


@dataclass(slots=True)
class Score:
    """The faults of a campaign and their consequences.

    Attributes:
        faults: faults that took effect, by class.
        missed: faults without effect, by class, because the request that they waited for did not come.
        wire: what the proxy did, by request and action.
        commits: committed transactions, by the last metrics that were read; there may be more.
        aborts: transactions that did not commit, by outcome, according to the workers' logs.
        exits: exit status -> how often a worker ended with it by itself.
        records_aborted: results and dead letters that were written and then aborted.
        unseen: input records that the broker has and whose outcome no reader has seen yet.
        stalls_s: class of faults -> how long each kept a partition with input without an outcome; only
            faults that were injected after the recovery from the one before.
        timeline: each fault: its time (epoch seconds), its name, and its stall if its recovery was awaited.
        restored: restores of a partition after a start.
        transaction_records_max: most totals that one transaction wrote to one partition.
        aborted_seen: records that the concurrent reader saw and the final reader did not.
        disordered: results whose input does not follow the input of the result before, for either reader.
        markers_skipped: how often Kafka did not write the markers of a transaction; the workers are not at
            fault, and input that waits for the markers has no outcome.
        unchecked: what `verify` could not check.
        accident: that was injected, and what followed; None if none was.
        differences: other broken promises, in sentences.
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
    accident: AccidentReport | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        broken = (self.lost, self.duplicated, self.torn, self.mismatched, self.aborted_seen, self.disordered)
        is_settled = self.accident is None or self.accident.is_settled
        return not any(broken) and not self.unseen and not self.differences and is_settled

    @property
    def worst_stall_s(self) -> float:
        return max((stall for stalls in self.stalls_s.values() for stall in stalls), default=0.0)

    def note(self, time_s: float, fault: Fault, stall_s: float | None, *, alone: bool) -> None:
        """Add a fault and its stall; None: the campaign did not wait for the recovery."""
        self.timeline.append((time_s, str(fault), stall_s))
        if alone and stall_s is not None:
            self.stalls_s.setdefault(str(fault.kind), []).append(stall_s)

    def differ(self, sentence: str) -> None:
        """Add a sentence about a broken promise."""
        if len(self.differences) < SENTENCES_MAX:
            self.differences.append(sentence)

    def restored_max(self, *, same: bool) -> int:
        """Return the most records of a restore, into the store of the last owner or into another one."""
        return max((each.records for each in self.restored if each.same is same), default=0)

    def restores(self, *, same: bool) -> int:
        """Return the number of these restores."""
        return sum(each.same is same for each in self.restored)

    def as_json(self) -> dict[str, Any]:
        """Return the score as the JSON output of `chaos`."""
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
                {"at": round(time_s, 1), "fault": fault, "stall_s": stall and round(stall, 2)}
                for time_s, fault, stall in self.timeline
            ],
            "restored_records": {
                "same_store": {"restores": self.restores(same=True), "max": self.restored_max(same=True)},
                "moved": {"restores": self.restores(same=False), "max": self.restored_max(same=False)},
                "transaction_max": self.transaction_records_max,
            },
            **({"accident": self.accident.as_json(is_exact=self.holds)} if self.accident else {}),
        }
