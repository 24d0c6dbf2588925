"""A campaign: load, readers and workers, one fault after the other, healing, judgement."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep, time

from stream.config import Settings, load_settings
from stream.core.dictionary import AnagramIndex
from stream.dictionary import load_index
from stream.errors import Fatal
from stream.kafka import topics
from stream.kafka.clients import make_admin
from stream.tools.audit.verify import verify
from stream.tools.chaos.cluster import cluster
from stream.tools.chaos.fleet import Fleet
from stream.tools.chaos.inject import Injector
from stream.tools.chaos.load import Load, Size
from stream.tools.chaos.plan import Fault
from stream.tools.chaos.score import Score
from stream.tools.chaos.watch import Instruments, Stalls, final_reading, records_written

SESSION_TIMEOUT_MS = 6_000
TRANSACTION_TIMEOUT_MS = 5_000
TICK_S = 0.05
TELL_S = 0.25
ASK_S = 1.0  # between two looks at the workers' metrics
HEAL_S_MAX = 150.0
FAULT_S = 5.0  # what a fault and its healing take, until it is known
CALM_S_MAX = 1.5  # between two faults
PACE_SPREAD = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for.

    Attributes:
        static: static membership, under the classic protocol.
        size: of the input.
        faults: one after the other.
        seconds: how long the faults are spread over at least; 0: as long as healing takes.
        processes: of each worker.
        batch_records_max: of one transaction.
    """

    seed: int
    protocol: str
    static: bool
    size: Size
    faults: Sequence[Fault]
    seconds: float = 0.0
    workers: int = 3
    processes: int = 1
    partitions: int = 6
    batch_records_max: int = 10_000
    java: Path | None = None


class Campaign:
    """One run. `tell` is called some times a second with the score so far."""

    def __init__(self, order: Order, folder: Path, tell: Callable[[Score], None]) -> None:
        self._order = order
        self._folder = folder
        self._tell = tell
        self._rng = random.Random(order.seed)  # noqa: S311 - to be replayed, not to be secret
        self.score = Score(order.seed, order.protocol, order.static)
        self._told = self._asked = 0.0
        self._crowded = False  # the last fault was not waited for
        self._commits: dict[str, int] = {}

    def run(self) -> Score:
        """Run it; the score says whether every promise was kept.

        Raises:
            Fatal: broker or topics could not be had.
        """
        began = monotonic()
        index = load_index(None)
        self._say("starting Kafka")
        with cluster(self._folder, SESSION_TIMEOUT_MS, self._order.java) as made:
            settings = self._settings(made.broker.bootstrap_servers)
            topics.create(make_admin(settings), settings, self._order.partitions, None, repair=False)
            env = _environment(settings, made.proxy.address, self._order.processes)
            self._cluster = made
            self._fleet = Fleet(self._folder, env, self._order.workers)
            self._load = Load(settings, index, self._order.size, self._order.seed, self._order.partitions)
            self._watch, self._stalls = Instruments(settings, self._order.partitions), Stalls()
            self.score.blobs, self.score.words = self._order.size.blobs, self._order.size.words
            try:
                self._storm()
            finally:
                self._load.stop()
                self._watch.stop()
                self._fleet.stop()
            self._judge(settings, index)
        self.score.seconds = monotonic() - began
        self._say("judged")
        return self.score

    # -- the storm -------------------------------------------------------------------------------------

    def _storm(self) -> None:
        self._say("starting workers")
        self._watch.start()
        self._fleet.start()
        self._load.pace = 1_000.0  # so that there is something to begin with
        self._load.start()
        if not self.until(self._all_work, HEAL_S_MAX):
            raise Fatal(f"nothing came out within {HEAL_S_MAX:.0f} s:\n" + self._last_lines())
        self._stalls.reset()
        injector = Injector(self._cluster, self._fleet, self, SESSION_TIMEOUT_MS / 1000)
        began = monotonic()
        for number, fault in enumerate(self._order.faults):
            self._set_pace(number, monotonic() - began)
            self._befall(injector, number, fault)
            left = self._order.seconds * (number + 1) / len(self._order.faults) - (monotonic() - began)
            self.until(lambda: False, max(left, self._rng.uniform(0.0, CALM_S_MAX)))
        self._say("healing")
        self._load.pace, self._load.share = float("inf"), 1.0
        self._cluster.proxy.clear()
        injector.finish()
        healed = self.until(self._is_drained, HEAL_S_MAX + self.score.words / 20_000)
        self.until(lambda: False, 1.0)  # for one too many
        if not healed:
            self.score.differ(
                f"{self._unseen()} blobs have no outcome after healing; last lines:\n{self._last_lines()}"
            )

    def _befall(self, injector: Injector, number: int, fault: Fault) -> None:
        self._say(f"fault {number + 1} of {len(self._order.faults)}: {fault}")
        self._stalls.reset()
        at = time()
        befell = injector.inject(fault)
        (self.score.faults if befell else self.score.missed)[str(fault.kind)] += 1
        alone, self._crowded = not self._crowded, fault.crowded
        if fault.crowded:
            self.score.note(at, fault, None, alone=False)
            return
        ends = dict(self._load.ends)
        if self.until(lambda: self._has_passed(ends), HEAL_S_MAX):
            self.score.note(at, fault, self._stalls.reset(), alone=alone)
        else:
            self.score.differ(
                f"no healing within {HEAL_S_MAX:.0f} s after fault {number + 1}, {fault}; last lines:\n"
                f"{self._last_lines()}"
            )

    def _set_pace(self, done: int, seconds: float) -> None:
        """Spread what is left of the input over what is left of the faults, in gusts."""
        faults, size = len(self._order.faults), self._order.size
        each = max((seconds + FAULT_S) / (done + 1), self._order.seconds / faults)
        left_s = each * (faults - done)
        self._load.share = (done + 1) / (faults + 1)
        words = (size.blobs - self._load.sent) * size.words_per_blob
        self._load.pace = words / max(1.0, left_s) * self._rng.uniform(*PACE_SPREAD)

    def _all_work(self) -> bool:
        """Whether every partition has outcomes, and every process a partition."""
        owners, order = set(self._fleet.notes.owner.values()), self._order
        number = min(order.workers * order.processes, order.partitions)
        return all(self._watch.offsets.values()) and len(owners) >= number

    def _has_passed(self, ends: dict[int, int]) -> bool:
        """Whether input that came after these ends has outcomes, on every partition."""
        more = 0 if self._load.is_done else 1
        return all(self._watch.offsets[p] >= end + more for p, end in ends.items())

    def _is_drained(self) -> bool:
        return self._load.is_done and self._unseen() == 0

    def _unseen(self) -> int:
        return self._load.delivered - self._watch.seen.outcomes

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Let it go on until the condition holds or the time is over; return whether it holds."""
        deadline = monotonic() + seconds
        while not condition():
            if monotonic() >= deadline:
                return False
            self._tick()
            sleep(TICK_S)
        return True

    def _tick(self) -> None:
        self._watch.check()
        self._cluster.proxy.check()
        if self._load.failed:
            raise Fatal(self._load.failed)
        self._fleet.supervise()
        self._stalls.look(self._load.ends, self._watch.offsets)
        now = monotonic()
        if now - self._asked >= ASK_S:
            self._asked = now
            self._ask_workers()
        if now - self._told >= TELL_S:
            self._told = now
            self._update()
            self._tell(self.score)

    # -- what is known ---------------------------------------------------------------------------------

    def _ask_workers(self) -> None:
        for worker in self._fleet.workers:
            if worker.address and worker.is_running:
                committed = worker.commits()
                if committed is not None:
                    counter = f"{worker.address} {worker.started}"
                    self._commits[counter] = max(committed, self._commits.get(counter, 0))

    def _update(self) -> None:
        score, notes = self.score, self._fleet.notes
        with notes.lock:
            score.aborts = notes.transactions.copy()
            score.exits = notes.exits.copy()
            score.restored = list(notes.restored)
        score.commits = sum(self._commits.values())
        score.markers_skipped = self._cluster.markers_skipped
        for (api, action), n in self._cluster.proxy.injected.items():
            score.wire[f"{action} {api}"] = n
        score.sent, score.outcomes = self._load.delivered, self._watch.seen.outcomes
        score.unseen = max(0, self._unseen())
        score.transaction_records_max = self._watch.transaction_records_max

    def _judge(self, settings: Settings, index: AnagramIndex) -> None:
        self._update()
        score, seen = self.score, self._watch.seen
        self._say("reading everything once more")
        final = final_reading(settings)
        score.aborted_seen = seen.missing_in(final)
        score.disordered = seen.disordered + final.disordered
        score.unseen = self._load.blobs - seen.outcomes
        score.records_aborted = records_written(settings) - final.outcomes
        self._say("verify")
        found = verify(settings, index, state_dirs=self._fleet.state_dirs())
        score.lost, score.duplicated = found.lost, found.duplicated
        score.torn = found.totals + found.stores
        score.mismatched = found.wrong + found.unknown + found.misplaced
        for sentence in found.differences:
            score.differ(sentence)
        score.unchecked = found.unchecked
        if found.records != self._load.blobs:
            score.differ(f"{self._load.blobs} blobs were sent, the input holds {found.records}")
        for line in self._fleet.notes.tracebacks:
            score.differ(f"a traceback: {line}")
        most = score.restored_max(same=True)
        if most > score.transaction_records_max:
            score.differ(
                f"{most} records were restored where the store was the partition's last; a transaction "
                f"has {score.transaction_records_max} at most"
            )

    def _say(self, phase: str) -> None:
        self.score.phase = phase
        self._tell(self.score)

    def _last_lines(self) -> str:
        return "\n".join(
            f"{worker.instance}: {line}" for worker in self._fleet.workers for line in list(worker.lines)[-5:]
        )

    def _settings(self, bootstrap_servers: str) -> Settings:
        chosen = {}
        if self._order.protocol == "classic":
            config = self._folder / "classic.properties"
            config.write_text(
                f"session.timeout.ms={SESSION_TIMEOUT_MS}\nheartbeat.interval.ms=500\n", encoding="utf-8"
            )
            chosen["kafka_config"] = config
        return load_settings(
            bootstrap_servers=bootstrap_servers,
            group_protocol=self._order.protocol,
            static_membership=self._order.static,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            batch_records_max=self._order.batch_records_max,
            log_format="json",
            **chosen,
        )


def _environment(settings: Settings, bootstrap_servers: str, processes: int) -> dict[str, str]:
    env = {
        "STREAM_BOOTSTRAP_SERVERS": bootstrap_servers,
        "STREAM_GROUP_PROTOCOL": settings.group_protocol,
        "STREAM_STATIC_MEMBERSHIP": str(settings.static_membership).lower(),
        "STREAM_TRANSACTION_TIMEOUT_MS": str(settings.transaction_timeout_ms),
        "STREAM_BATCH_RECORDS_MAX": str(settings.batch_records_max),
        "STREAM_LOG_FORMAT": "json",
        "STREAM_PROCESSES": str(processes),
    }
    if settings.kafka_config is not None:
        env["STREAM_KAFKA_CONFIG"] = str(settings.kafka_config)
    return env
