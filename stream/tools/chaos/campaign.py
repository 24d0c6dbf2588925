"""A campaign: input, readers and workers, one fault after the other, recovery, verdict."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep, time

from stream.config import Settings, load_settings
from stream.core.dictionary import AnagramIndex
from stream.dictionary import load_index
from stream.errors import Fatal
from stream.kafka.clients import make_admin
from stream.tools.audit.verify import verify
from stream.tools.chaos.cluster import cluster
from stream.tools.chaos.fleet import Fleet, worker_environment
from stream.tools.chaos.injector import Injector
from stream.tools.chaos.outcome_reader import (
    OutcomeReader,
    StallTimer,
    count_written_records,
    read_final_outcomes,
)
from stream.tools.chaos.plan import Fault
from stream.tools.chaos.producer import CampaignProducer, InputSize
from stream.tools.chaos.score import Score
from stream.tools.kafka.topic_creation import create_topics

SESSION_TIMEOUT_MS = 6_000
TRANSACTION_TIMEOUT_MS = 5_000
TICK_S = 0.05
PROGRESS_INTERVAL_S = 0.25
METRICS_INTERVAL_S = 1.0
RECOVERY_S_MAX = 150.0
FAULT_S = 5.0  # estimate of a fault and its recovery, until one was measured
CALM_S_MAX = 1.5  # between two faults
PACE_SPREAD = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class CampaignOptions:
    """The options of a campaign.

    Attributes:
        static: static membership, with the classic protocol.
        size: of the input.
        faults: injected one after the other.
        seconds: minimum time over which the faults are spread; 0: as long as the recoveries take.
        processes: of each worker.
        batch_records_max: of one transaction.
    """

    seed: int
    protocol: str
    static: bool
    size: InputSize
    faults: Sequence[Fault]
    seconds: float = 0.0
    workers: int = 3
    processes: int = 1
    partitions: int = 6
    batch_records_max: int = 10_000
    java: Path | None = None


class Campaign:
    """Runs one campaign; calls `on_progress` with the score so far, several times a second."""

    def __init__(self, options: CampaignOptions, folder: Path, on_progress: Callable[[Score], None]) -> None:
        self._options = options
        self._folder = folder
        self._on_progress = on_progress
        self._rng = random.Random(options.seed)  # noqa: S311 - repeatable, not secret
        self.score = Score(options.seed, options.protocol, options.static)
        self._reported_at = self._metrics_read_at = 0.0
        self._previous_crowded = False  # the campaign did not wait for the recovery from the last fault
        self._commits: dict[str, int] = {}  # worker process -> its committed transactions

    def run(self) -> Score:
        """Run the campaign and return the score, which says whether every promise was kept.

        Raises:
            Fatal: the broker, the topics or the workers did not start, or the campaign's producer failed.
        """
        began = monotonic()
        index = load_index(None)
        self._enter("starting Kafka")
        options = self._options
        with cluster(self._folder, SESSION_TIMEOUT_MS, options.java) as started:
            settings = self._settings(started.broker.bootstrap_servers)
            create_topics(make_admin(settings), settings, options.partitions, None, repair=False)
            env = worker_environment(settings, started.proxy.address, options.processes)
            self._cluster = started
            self._fleet = Fleet(self._folder, env, options.workers)
            self._producer = CampaignProducer(settings, index, options.size, options.seed, options.partitions)
            self._outcomes, self._stalls = OutcomeReader(settings, options.partitions), StallTimer()
            self.score.blobs, self.score.words = options.size.blobs, options.size.words
            try:
                self._inject_faults()
            finally:
                self._producer.stop()
                self._outcomes.stop()
                self._fleet.stop()
            self._judge(settings, index)
        self.score.seconds = monotonic() - began
        self._enter("judged")
        return self.score

    # -- faults ----------------------------------------------------------------------------------------

    def _inject_faults(self) -> None:
        self._enter("starting workers")
        self._outcomes.start()
        self._fleet.start()
        self._producer.pace = 1_000.0  # so that there is input when the workers start
        self._producer.start()
        if not self.until(self._all_work, RECOVERY_S_MAX):
            raise Fatal(f"the workers committed nothing within {RECOVERY_S_MAX:.0f} s:\n{self._last_lines()}")
        self._stalls.reset()
        injector = Injector(self._cluster, self._fleet, self, SESSION_TIMEOUT_MS / 1000)
        began, faults = monotonic(), self._options.faults
        for number, fault in enumerate(faults):
            self._set_pace(number, monotonic() - began)
            self._inject_one(injector, number, fault)
            left = self._options.seconds * (number + 1) / len(faults) - (monotonic() - began)
            self.until(lambda: False, max(left, self._rng.uniform(0.0, CALM_S_MAX)))
        self._enter("recovering")
        self._producer.pace, self._producer.share = float("inf"), 1.0
        self._cluster.proxy.clear()
        injector.finish()
        recovered = self.until(self._is_drained, RECOVERY_S_MAX + self.score.words / 20_000)
        self.until(lambda: False, 1.0)  # for an outcome that should not come
        if not recovered:
            self.score.differ(
                f"{self._unseen()} blobs have no outcome after recovery; last lines:\n{self._last_lines()}"
            )

    def _inject_one(self, injector: Injector, number: int, fault: Fault) -> None:
        self._enter(f"fault {number + 1} of {len(self._options.faults)}: {fault}")
        self._stalls.reset()
        injected_at = time()
        took_effect = injector.inject(fault)
        (self.score.faults if took_effect else self.score.missed)[str(fault.kind)] += 1
        alone, self._previous_crowded = not self._previous_crowded, fault.crowded
        if fault.crowded:
            self.score.note(injected_at, fault, None, alone=False)
            return
        ends = dict(self._producer.ends)
        if self.until(lambda: self._has_passed(ends), RECOVERY_S_MAX):
            self.score.note(injected_at, fault, self._stalls.reset(), alone=alone)
        else:
            self.score.differ(
                f"no recovery within {RECOVERY_S_MAX:.0f} s after fault {number + 1}, {fault}; last lines:\n"
                f"{self._last_lines()}"
            )

    def _set_pace(self, done: int, seconds: float) -> None:
        """Spread the remaining input over the remaining faults, at a pace that varies."""
        faults, size = len(self._options.faults), self._options.size
        seconds_per_fault = max((seconds + FAULT_S) / (done + 1), self._options.seconds / faults)
        left_s = seconds_per_fault * (faults - done)
        self._producer.share = (done + 1) / (faults + 1)
        words = (size.blobs - self._producer.sent) * size.words_per_blob
        self._producer.pace = words / max(1.0, left_s) * self._rng.uniform(*PACE_SPREAD)

    def _all_work(self) -> bool:
        """Whether every partition has outcomes, and every process has a partition."""
        owners, options = set(self._fleet.history.owners.values()), self._options
        processes = min(options.workers * options.processes, options.partitions)
        return all(self._outcomes.offsets.values()) and len(owners) >= processes

    def _has_passed(self, ends: dict[int, int]) -> bool:
        """Whether input beyond these offsets has outcomes, on every partition."""
        more = 0 if self._producer.is_done else 1
        return all(self._outcomes.offsets[partition] >= end + more for partition, end in ends.items())

    def _is_drained(self) -> bool:
        return self._producer.is_done and self._unseen() == 0

    def _unseen(self) -> int:
        return self._producer.delivered - self._outcomes.seen.outcomes

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Go on until the condition holds or the time is over; return whether the condition holds."""
        deadline = monotonic() + seconds
        while not condition():
            if monotonic() >= deadline:
                return False
            self._tick()
            sleep(TICK_S)
        return True

    def _tick(self) -> None:
        self._outcomes.check()
        self._cluster.proxy.check()
        if self._producer.failed:
            raise Fatal(self._producer.failed)
        self._fleet.supervise()
        self._stalls.update(self._producer.ends, self._outcomes.offsets)
        now = monotonic()
        if now - self._metrics_read_at >= METRICS_INTERVAL_S:
            self._metrics_read_at = now
            self._read_metrics()
        if now - self._reported_at >= PROGRESS_INTERVAL_S:
            self._reported_at = now
            self._update_score()
            self._on_progress(self.score)

    # -- verdict ---------------------------------------------------------------------------------------

    def _read_metrics(self) -> None:
        for worker in self._fleet.workers:
            if worker.output.address and worker.is_running:
                committed = worker.commits()
                if committed is not None:
                    process = f"{worker.output.address} {worker.started}"
                    self._commits[process] = max(committed, self._commits.get(process, 0))

    def _update_score(self) -> None:
        score, history = self.score, self._fleet.history
        with history.lock:
            score.aborts = history.transactions.copy()
            score.exits = history.exits.copy()
            score.restored = list(history.restored)
        score.commits = sum(self._commits.values())
        score.markers_skipped = self._cluster.markers_skipped
        for (api, action), n in self._cluster.proxy.injected.items():
            score.wire[f"{action} {api}"] = n
        score.sent, score.outcomes = self._producer.delivered, self._outcomes.seen.outcomes
        score.unseen = max(0, self._unseen())
        score.transaction_records_max = self._outcomes.transaction_records_max

    def _judge(self, settings: Settings, index: AnagramIndex) -> None:
        self._update_score()
        score, seen = self.score, self._outcomes.seen
        self._enter("reading all outputs again")
        final = read_final_outcomes(settings)
        score.aborted_seen = seen.missing_in(final)
        score.disordered = seen.disordered + final.disordered
        score.unseen = self._producer.blobs - seen.outcomes
        score.records_aborted = count_written_records(settings) - final.outcomes
        self._enter("verify")
        verdict = verify(settings, index, state_dirs=self._fleet.state_dirs())
        score.lost, score.duplicated = verdict.lost, verdict.duplicated
        score.torn = verdict.totals + verdict.stores
        score.mismatched = verdict.wrong + verdict.unknown + verdict.misplaced
        for sentence in verdict.differences:
            score.differ(sentence)
        score.unchecked = verdict.unchecked
        if verdict.records != self._producer.blobs:
            score.differ(f"{self._producer.blobs} blobs were sent, the input holds {verdict.records}")
        for line in self._fleet.history.tracebacks:
            score.differ(f"a traceback: {line}")
        most = score.restored_max(same=True)
        if most > score.transaction_records_max:
            score.differ(
                f"{most} records were restored into a store that was the partition's last owner; a "
                f"transaction has at most {score.transaction_records_max}"
            )

    def _enter(self, phase: str) -> None:
        self.score.phase = phase
        self._on_progress(self.score)

    def _last_lines(self) -> str:
        return "\n".join(
            f"{worker.instance}: {line}"
            for worker in self._fleet.workers
            for line in list(worker.output.lines)[-5:]
        )

    def _settings(self, bootstrap_servers: str) -> Settings:
        chosen = {}
        if self._options.protocol == "classic":
            config = self._folder / "classic.properties"
            config.write_text(
                f"session.timeout.ms={SESSION_TIMEOUT_MS}\nheartbeat.interval.ms=500\n", encoding="utf-8"
            )
            chosen["kafka_config"] = config
        return load_settings(
            bootstrap_servers=bootstrap_servers,
            group_protocol=self._options.protocol,
            static_membership=self._options.static,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            batch_records_max=self._options.batch_records_max,
            log_format="json",
            **chosen,
        )
