"""A campaign: input, readers and workers, one fault after the other, recovery, verdict."""

import random
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep, time

from stream.dictionary import load_index
from stream.errors import Fatal
from stream.kafka.clients import make_admin
from stream.tools.chaos.accident import OUTPUTS, Accident, AccidentReport
from stream.tools.chaos.accident_check import REFILL_PREFIX, AccidentCheck
from stream.tools.chaos.accident_injector import AccidentInjector
from stream.tools.chaos.cluster import cluster
from stream.tools.chaos.fleet import Fleet, Restart, worker_environment
from stream.tools.chaos.injector import Injector
from stream.tools.chaos.judgement import judge_logs, judge_outputs
from stream.tools.chaos.kafka_tear import TearRecovery
from stream.tools.chaos.node_injector import IN_SYNC_S_MAX, NodeInjector
from stream.tools.chaos.options import SESSION_TIMEOUT_MS, CampaignOptions
from stream.tools.chaos.outcome_reader import OutcomeReader, StallTimer
from stream.tools.chaos.plan import CLUSTER, Fault
from stream.tools.chaos.probe import Probes
from stream.tools.chaos.producer import PACE_MAX, CampaignProducer
from stream.tools.chaos.progress import Progress, last_lines
from stream.tools.chaos.score import NotedFault, Score
from stream.tools.kafka.topic_creation import create_topics

TICK_S, RECOVERY_S_MAX = 0.05, 150.0
FAULT_S, CLUSTER_FAULT_S = 5.0, 25.0  # estimate for a fault and its recovery, until one was measured
CALM_S_MAX = 1.5  # between two faults
PACE_SPREAD = 0.5, 2.0
ACCIDENT_TRICKLE_S = 0.2
ACCIDENT_S = 120.0  # the remaining input lasts at least this long while workers detect the accident


class Campaign:
    """Runs one campaign; calls `on_progress` with the score so far several times per second."""

    def __init__(self, options: CampaignOptions, folder: Path, on_progress: Callable[[Score], None]) -> None:
        self._options = options
        self._folder = folder
        self._rng = random.Random(options.seed)  # noqa: S311 - repeatable, not secret
        self.score = Score(options.seed, options.protocol, options.static, nodes=options.nodes)
        self._progress = Progress(self.score, on_progress)
        self._probes: Probes | None = None
        self._previous_crowded = False  # the campaign did not wait for the recovery from the last fault

    def run(self) -> Score:
        """Run the campaign and return the score, which shows whether every promise was kept.

        Raises:
            Fatal: the broker, the topics or the workers did not start, or the campaign's producer failed.
        """
        began = monotonic()
        index = load_index(None)
        self._progress.enter("starting Kafka")
        options = self._options
        with cluster(self._folder, SESSION_TIMEOUT_MS, options.java, options.nodes) as started:
            settings = options.settings(self._folder, started.bootstrap_servers)
            create_topics(make_admin(settings), settings, options.partitions, None, repair=False)
            env = worker_environment(settings, started.proxy.address, options.processes)
            self._cluster, self._settings, self._index = started, settings, index
            self._nodes = NodeInjector(started, settings, options.partitions, self)
            self._fleet = Fleet(self._folder, env, options.workers)
            self._tears = TearRecovery(settings, self._fleet, self, started.read_logs, self.score)
            self._producer = CampaignProducer(settings, index, options.size, options.seed, options.partitions)
            self._outcomes, self._stalls = OutcomeReader(settings, options.partitions), StallTimer()
            self.score.blobs, self.score.words = options.size.blobs, options.size.words
            try:
                is_complete = self._run()
            finally:
                if self._probes is not None:
                    self._probes.stop()
                self._producer.stop()
                self._outcomes.stop()
                self._fleet.stop()
            self._update_score()
            judge_logs(self.score, self._fleet.history.tracebacks)
            if is_complete:
                self._progress.enter("reading all outputs again and running `verify`")
                seen, state_dirs = self._outcomes.seen, self._fleet.state_dirs()
                judge_outputs(self.score, settings, index, seen, state_dirs)
            else:
                self.score.unseen = 0
        self.score.seconds = monotonic() - began
        self._progress.enter("done")
        return self.score

    # -- faults ----------------------------------------------------------------------------------------

    def _run(self) -> bool:
        """Inject faults and the accident; return whether all input was counted afterwards."""
        self._start()
        injector = Injector(self._cluster, self._nodes, self._fleet, self, SESSION_TIMEOUT_MS / 1000)
        self._began = monotonic()
        accident, faults = self._options.accident, len(self._options.faults)
        middle = 0 if accident is None else faults // 2
        self._inject_faults(injector, range(middle))
        if accident is not None:
            if not (self._have_accident(accident) and self._await_recovery("the accident")):
                return False
            self._stalls.reset()
        self._inject_faults(injector, range(middle, faults))
        self._recover(injector)
        return True

    def _start(self) -> None:
        self._progress.enter("starting workers")
        self._outcomes.start()
        self._fleet.start()
        if self._options.accident is not None:  # then much of the input must come after it
            self._producer.trickle_s = ACCIDENT_TRICKLE_S
        self._producer.pace = 1_000.0  # so that there is input when the workers start
        self._producer.start()
        if not self.until(self._all_work, RECOVERY_S_MAX):
            raise Fatal(
                f"the workers committed nothing within {RECOVERY_S_MAX:.0f} s:\n{last_lines(self._fleet)}"
            )
        if self._cluster.nodes > 1:
            self._await_in_sync("the start")
            self._probes = self._nodes.start_probes()
        self._stalls.reset()

    def _inject_faults(self, injector: Injector, numbers: range) -> None:
        faults = self._options.faults
        for number in numbers:
            if self.score.differences:  # more faults would hide which one had no recovery
                return
            self._set_pace(number, monotonic() - self._began)
            self._inject_one(injector, number, faults[number])
            left = self._options.seconds * (number + 1) / len(faults) - (monotonic() - self._began)
            self.until(lambda: False, max(left, self._rng.uniform(0.0, CALM_S_MAX)))

    def _recover(self, injector: Injector) -> None:
        self._progress.enter("recovering")
        self._producer.pace, self._producer.share = float("inf"), 1.0
        self._cluster.proxy.clear()
        injector.finish()
        recovered = self.until(self._is_drained, RECOVERY_S_MAX + self.score.words / 20_000)
        self.until(lambda: False, 1.0)  # for outcomes that must not come
        if not recovered:
            lines = last_lines(self._fleet)
            self.score.differ(f"blobs without outcome after recovery: {self._unseen()}; last lines:\n{lines}")

    def _inject_one(self, injector: Injector, number: int, fault: Fault) -> None:
        what = f"fault {number + 1}, {fault}"
        self._progress.enter(f"fault {number + 1} of {len(self._options.faults)}: {fault}")
        self._reset_stalls()
        injected_at = time()
        took_effect = injector.inject(fault)
        (self.score.faults if took_effect else self.score.missed)[str(fault.kind)] += 1
        alone, self._previous_crowded = not self._previous_crowded, fault.crowded
        target, torn = "", len(self.score.torn_by_kafka)
        if fault.kind in CLUSTER:
            target = self._nodes.target
            self._await_in_sync(what)
        noted = NotedFault(injected_at, str(fault), None, target=target)
        if fault.crowded:
            self.score.note(noted, fault.kind, alone=False)
        elif self._await_recovery(what):
            alone = alone and len(self.score.torn_by_kafka) == torn  # else a command is part of the stall
            stall_s, probe_stall_s = self._reset_stalls()
            noted = noted._replace(stall_s=stall_s, probe_stall_s=probe_stall_s)
            self.score.note(noted, fault.kind, alone=alone)

    def _reset_stalls(self) -> tuple[float, float | None]:
        """Return the longest stall of the workers and of the probes since the last call."""
        return self._stalls.reset(), None if self._probes is None else self._probes.reset()

    def _await_in_sync(self, what: str) -> None:
        """Wait until all replicas are in sync, so that the next fault hits an intact cluster."""
        if missing := self._nodes.await_in_sync():
            self.score.differ(f"the replicas are not in sync {IN_SYNC_S_MAX:.0f} s after {what}: {missing}")

    def _await_recovery(self, what: str) -> bool:
        """Wait until new input has outcomes on every partition, and the probes commit.

        Return whether the workers recovered.
        """
        ends, began = dict(self._producer.ends), monotonic()
        recovered = self._tears.until(lambda: self._has_passed(ends), RECOVERY_S_MAX)
        if not recovered:
            lines = last_lines(self._fleet)
            self.score.differ(f"no recovery within {RECOVERY_S_MAX:.0f} s after {what}; last lines:\n{lines}")
        elif (probes := self._probes) is not None:  # otherwise their stalls would seem shorter than they are
            self.until(lambda: probes.commit_since(began), RECOVERY_S_MAX)
        return recovered

    def _have_accident(self, kind: Accident) -> bool:
        """Cause the accident; return whether the campaign continues after it."""
        self._progress.enter(f"accident: {kind}")
        self._producer.spread(ACCIDENT_S, 1.0, 1.0)
        self._await_recovery("the fault before the accident")  # so that all earlier input is counted
        check = AccidentCheck(*self._inject_accident(kind), self._fleet, self)
        check.wait_settled(self._watch_partitions)
        report = self.score.accident
        if report is None or not report.is_settled:
            what = "the workers neither refused nor continued after the accident"
            self.score.differ(f"{what}; last lines:\n{last_lines(self._fleet)}")
        elif report.refusals:
            self._progress.enter("continuing after the accident")
            if check.go_on():
                return True
            if difference := check.check_final():
                self.score.differ(difference)
        elif kind.role == "input":
            self.score.differ("the workers counted input that replaced the input of earlier results")
        else:
            self._fleet.restart = Restart.ALL
            return True
        return False

    def _inject_accident(self, kind: Accident) -> tuple[AccidentReport, AccidentInjector]:
        settings, options = self._settings, self._options
        if kind.role in OUTPUTS:
            self._outcomes.stop()
        injector = AccidentInjector(
            settings,
            options.partitions,
            cluster=self._cluster,
            nodes=self._nodes,
            fleet=self._fleet,
            waiter=self,
            stop_input=self._producer.stop,
        )
        report = self.score.accident = injector.inject(kind)
        if kind.role in OUTPUTS:  # the reader starts over with the current content of the logs
            most = self._outcomes.transaction_records_max
            self._outcomes = OutcomeReader(settings, options.partitions)
            self._outcomes.transaction_records_max = most
            self._outcomes.start()
        if kind.role == "input":  # the new log gets longer than the former one
            seed = options.seed + 1
            self._producer = CampaignProducer(settings, self._index, options.size, seed, options.partitions)
            self._producer.prefix, self._producer.pace = REFILL_PREFIX, PACE_MAX
            self._producer.start()
        return report, injector

    def _watch_partitions(self) -> Callable[[], bool]:
        """Return a function that tells whether each partition has started to run since, and continues."""
        ends, runs = dict(self._producer.ends), self._fleet.history.runs
        before = runs.copy()
        return lambda: (
            all(runs[partition] > before[partition] for partition in ends) and self._has_passed(ends)
        )

    def _update_score(self) -> None:
        self._progress.update(self._cluster, self._fleet, self._producer, self._outcomes, self._probes)

    def _set_pace(self, done: int, seconds: float) -> None:
        """Spread the remaining input over the remaining faults, at a pace that varies."""
        faults, is_alone = len(self._options.faults), self._cluster.nodes == 1
        fault_s = (seconds + (FAULT_S if is_alone else CLUSTER_FAULT_S)) / (done + 1)
        left_s = max(fault_s, self._options.seconds / faults) * (faults - done)
        self._producer.spread(left_s, (done + 1) / (faults + 1), self._rng.uniform(*PACE_SPREAD))
        if not is_alone:  # a cluster fault may take ten times as long as another one
            left = max(1, self._options.size.blobs - self._producer.sent)
            self._producer.trickle_s = max(self._producer.trickle_s, left_s / left)

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
        """Whether all input has outcomes; an accident may have deleted those of earlier input."""
        is_seen = self._options.accident is not None or self._unseen() <= 0
        return self._producer.is_done and is_seen and self._has_passed(self._producer.ends)

    def _unseen(self) -> int:
        return self._producer.delivered - self._outcomes.seen.outcomes

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Continue until the condition holds or the time has passed; return whether the condition holds."""
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
        if self._probes is not None:
            self._probes.check()
        self._progress.tick(self._fleet, self._update_score)
