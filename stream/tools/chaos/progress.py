"""Keeps the score of a campaign up to date while it runs."""

from collections.abc import Callable
from time import monotonic

from stream.tools.chaos.cluster import Cluster
from stream.tools.chaos.fleet import Fleet
from stream.tools.chaos.outcome_reader import OutcomeReader
from stream.tools.chaos.probe import Probes
from stream.tools.chaos.producer import CampaignProducer
from stream.tools.chaos.score import Score
from stream.tools.chaos.worker_log import LINES_SHOWN

PROGRESS_INTERVAL_S, METRICS_INTERVAL_S = 0.25, 1.0


class Progress:
    """Updates the score and reports it several times per second."""

    def __init__(self, score: Score, on_progress: Callable[[Score], None]) -> None:
        self.score = score
        self._on_progress = on_progress
        self._reported_at = self._metrics_read_at = 0.0
        self._commits: dict[str, int] = {}  # worker process -> its committed transactions

    def enter(self, phase: str) -> None:
        """Report the current phase of the campaign."""
        self.score.phase = phase
        self._on_progress(self.score)

    def tick(self, fleet: Fleet, update: Callable[[], None]) -> None:
        """Call `update` and report the score, if enough time has passed since the last time."""
        now = monotonic()
        if now - self._metrics_read_at >= METRICS_INTERVAL_S:
            self._metrics_read_at = now
            self._read_metrics(fleet)
        if now - self._reported_at >= PROGRESS_INTERVAL_S:
            self._reported_at = now
            update()
            self._on_progress(self.score)

    def update(
        self,
        cluster: Cluster,
        fleet: Fleet,
        producer: CampaignProducer,
        outcomes: OutcomeReader,
        probes: Probes | None,
    ) -> None:
        """Update the score."""
        score, history = self.score, fleet.history
        with history.lock:
            score.aborts = history.transactions.copy()
            score.exits = history.exits.copy()
            score.crashes = list(history.crashes)
            score.restored = list(history.restored)
            score.hangs = list(history.hangs)
        score.commits = sum(self._commits.values())
        score.markers_skipped = cluster.markers_skipped
        for (api, action), n in cluster.proxy.injected.items():
            score.wire[f"{action} {api}"] = n
        if probes is not None:
            score.probe_commits, score.probe_hangs = probes.commits, probes.hangs
        score.sent, score.outcomes = producer.delivered, outcomes.seen.outcomes
        score.unseen = max(0, producer.delivered - outcomes.seen.outcomes)
        score.transaction_records_max = outcomes.transaction_records_max

    def _read_metrics(self, fleet: Fleet) -> None:
        for worker in fleet.workers:
            if worker.output.address and worker.is_running:
                committed = worker.commits()
                if committed is not None:
                    process = f"{worker.output.address} {worker.started}"
                    self._commits[process] = max(committed, self._commits.get(process, 0))


def last_lines(fleet: Fleet) -> str:
    """Return the last lines that each worker logged."""
    return "\n".join(
        f"{worker.instance}: {line}"
        for worker in fleet.workers
        for line in list(worker.output.lines)[-LINES_SHOWN:]
    )
