"""The scorecard of a campaign."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from stream.tools.chaos.accident import AccidentReport
from stream.tools.chaos.plan import Kind
from stream.tools.chaos.worker_log import Hang, Restored

SENTENCES_MAX = 20


class NotedFault(NamedTuple):
    """A fault that was injected.

    Attributes:
        time_s: epoch seconds.
        stall_s: stall of the workers; None if the campaign did not wait for the recovery.
        probe_stall_s: stall of the probes; None also if there are none.
        target: the node or nodes that it affected.
    """

    time_s: float
    fault: str
    stall_s: float | None
    probe_stall_s: float | None = None
    target: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the fault as a part of the JSON output of `chaos`."""
        probed = {} if self.probe_stall_s is None else {"probe_stall_s": round(self.probe_stall_s, 2)}
        return {
            "at": round(self.time_s, 1),
            "fault": self.fault,
            "stall_s": self.stall_s and round(self.stall_s, 2),
            **({"target": self.target} if self.target else {}),
            **probed,
        }


@dataclass(slots=True)
class Score:
    """The faults of a campaign and their consequences.

    Attributes:
        faults: faults that took effect, by class.
        missed: faults without effect, by class, because the request that they waited for did not come.
        wire: number of requests that the proxy affected, by action and request.
        commits: committed transactions, according to the last metrics read; there may be more.
        aborts: transactions that did not commit, by outcome, according to the workers' logs.
        exits: exit status -> how often a worker exited with it by itself.
        records_aborted: results and dead letters that were written and then aborted.
        unseen: input records on the broker whose outcome no reader has seen yet.
        stalls_s: class of faults -> for each, the longest time that a partition with input had no outcome;
            only faults that were injected after the recovery from the previous one.
        probe_stalls_s: the same faults -> the longest time that a probe had no commit; empty without probes.
        timeline: all faults.
        nodes: number of nodes of the cluster.
        group_settings: lowered: sessions and heartbeats are shorter than the defaults of a broker.
        crashes: workers killed by a signal that the campaign did not send, each with its last lines.
        hangs: workers that exited because they hung, and were started again.
        probe_commits: number of transactions of the probes.
        probe_hangs: number of calls of the probes that did not return.
        restored: restores of a partition after a start.
        transaction_records_max: maximum number of totals that one transaction wrote to one partition.
        aborted_seen: records that the concurrent reader saw and the final reader did not.
        disordered: results whose input does not follow the input of the previous result, for either reader.
        markers_skipped: how often Kafka did not write the markers of a transaction; the workers are not at
            fault, and input that waits for the markers has no outcome.
        torn_by_kafka: transactions that Kafka itself committed in part, with evidence from its logs. The
            workers refused, and continued after `offsets resume`.
        input_duplicates: records that the campaign's own producer wrote twice; each is input like any other.
        unchecked: what `verify` could not check.
        accident: the injected accident and its consequences; None if there was none.
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
    probe_stalls_s: dict[str, list[float]] = field(default_factory=dict)
    timeline: list[NotedFault] = field(default_factory=list)
    nodes: int = 1
    group_settings: str = "lowered"
    crashes: Sequence[str] = ()
    hangs: Sequence[Hang] = ()
    probe_commits: int = 0
    probe_hangs: int = 0
    restored: Sequence[Restored] = ()
    transaction_records_max: int = 0
    lost: int = 0
    duplicated: int = 0
    torn: int = 0
    mismatched: int = 0
    aborted_seen: int = 0
    disordered: int = 0
    markers_skipped: int = 0
    torn_by_kafka: list[str] = field(default_factory=list)
    input_duplicates: int = 0
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

    def note(self, noted: NotedFault, kind: Kind, *, alone: bool) -> None:
        """Add a fault; `alone`: the previous fault did not contribute to its stall."""
        self.timeline.append(noted)
        if alone and noted.stall_s is not None:
            self.stalls_s.setdefault(str(kind), []).append(noted.stall_s)
            if noted.probe_stall_s is not None:
                self.probe_stalls_s.setdefault(str(kind), []).append(noted.probe_stall_s)

    def differ(self, sentence: str) -> None:
        """Add a sentence about a broken promise."""
        if len(self.differences) < SENTENCES_MAX:
            self.differences.append(sentence)

    def restored_max(self, *, same: bool) -> int:
        """Return the maximum number of restored records, into the store of the last owner or another one."""
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
            "nodes": self.nodes,
            "group_settings": self.group_settings,
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
            "torn_by_kafka": self.torn_by_kafka,
            "input_duplicates": self.input_duplicates,
            "records_aborted": self.records_aborted,
            "exits": {str(status): n for status, n in self.exits.items()},
            "stalls_s": {kind: [round(each, 2) for each in stalls] for kind, stalls in self.stalls_s.items()},
            "stalls": self._stalls(),
            "timeline": [noted.as_json() for noted in self.timeline],
            "crashes": list(self.crashes),
            "hang_restarts": len(self.hangs),
            "hangs": [{"worker": each.worker, "what": each.what, "where": each.where} for each in self.hangs],
            **self._probes(),
            "restored_records": {
                "same_store": {"restores": self.restores(same=True), "max": self.restored_max(same=True)},
                "moved": {"restores": self.restores(same=False), "max": self.restored_max(same=False)},
                "transaction_max": self.transaction_records_max,
            },
            **({"accident": self.accident.as_json(is_exact=self.holds)} if self.accident else {}),
        }

    def _stalls(self) -> dict[str, dict[str, float | int]]:
        """Return the median and the worst stall of each class of faults, in seconds."""
        return {
            kind: {
                "faults": self.faults[kind],
                "worker_median": round(median(stalls), 2),
                "worker_worst": round(max(stalls), 2),
                **(
                    {"probe_median": round(median(probed), 2), "probe_worst": round(max(probed), 2)}
                    if (probed := self.probe_stalls_s.get(kind))
                    else {}
                ),
            }
            for kind, stalls in self.stalls_s.items()
        }

    def _probes(self) -> dict[str, Any]:
        if self.nodes == 1:
            return {}
        stalls = {kind: [round(each, 2) for each in stalls] for kind, stalls in self.probe_stalls_s.items()}
        return {"probe": {"commits": self.probe_commits, "hangs": self.probe_hangs, "stalls_s": stalls}}
