"""Draws the faults of a campaign from a seed; every variant occurs once before any occurs again."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from stream.tools.chaos.proxy import Api, error_name


class Kind(StrEnum):
    """The classes of faults."""

    KILL = "kill -9"
    KILL_PROCESS = "kill -9 of one process"
    KILL_AT_STEP = "kill -9 at a step"
    WIPE = "kill -9, state deleted"
    PAUSE = "stopped past its session"
    ZOMBIE = "stopped, replaced, woken"
    TERM = "SIGTERM"
    JOIN = "joins and leaves"
    DISK_FULL = "disk full"
    BROKER_KILL = "broker kill -9"
    BROKER_STOP = "broker restart"
    LEADER_KILL = "kill -9 of an input leader"
    TRANSACTION_COORDINATOR_KILL = "kill -9 of a transaction coordinator"
    GROUP_COORDINATOR_KILL = "kill -9 of the group coordinator"
    CONTROLLER_KILL = "kill -9 of the controller"
    NODE_STOP = "a broker stopped"
    ROLLING_RESTART = "rolling restart"
    LEADERS_MOVED = "leaders moved"
    NODE_FROZEN = "a broker frozen"
    MIN_ISR_LOST = "min.isr lost"
    TWO_DOWN = "two brokers down"
    IN_SYNC_DOWN = "in-sync replicas down"
    WIRE_ERROR = "wire error"
    WIRE_CUT = "wire disconnect"
    WIRE_DELAY = "wire delay"


ONE_NODE = frozenset({Kind.BROKER_KILL, Kind.BROKER_STOP})
"""The classes of broker faults on one node."""
CLUSTER = frozenset(
    {
        Kind.LEADER_KILL,
        Kind.TRANSACTION_COORDINATOR_KILL,
        Kind.GROUP_COORDINATOR_KILL,
        Kind.CONTROLLER_KILL,
        Kind.NODE_STOP,
        Kind.ROLLING_RESTART,
        Kind.LEADERS_MOVED,
        Kind.NODE_FROZEN,
        Kind.MIN_ISR_LOST,
        Kind.TWO_DOWN,
        Kind.IN_SYNC_DOWN,
    }
)
"""The classes of broker faults on several nodes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: its class.
        worker: a number that selects a worker, modulo their number, and one of its processes; or a partition.
        api: the request that the fault affects, or that a kill waits for.
        after: whether the fault occurs after the broker has handled the request, not before.
        code: the error code of a wire error.
        chance: share of the requests that are affected; None for a single request.
        nth: number of the affected request, counted from 1, if it is a single one.
        crowded: whether the next fault does not wait for the recovery from this one.
        seconds: duration of the fault, for classes where it varies.
    """

    kind: Kind
    worker: int = 0
    api: Api | None = None
    after: bool = False
    code: int = 0
    chance: float | None = None
    nth: int = 1
    crowded: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        moment = "at" if self.code else "after" if self.after else "before"
        where = f" {moment} {self.api.text}" if self.api is not None else ""
        code = f" {error_name(self.code)}" if self.code else ""
        often = f", {self.chance:.0%} of the requests" if self.chance else f", request {self.nth}"
        return f"{self.kind}{code}{where}{often if self.chance or self.nth > 1 else ''}"


COMMIT_STEPS = (Api.PRODUCE, Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN)
HEARTBEATS = {"classic": Api.HEARTBEAT, "consumer": Api.CONSUMER_GROUP_HEARTBEAT}
ERRORS = {
    # Transient errors of a real broker. Errors of a fenced producer occur for real (ZOMBIE).
    Api.INIT_PRODUCER_ID: (14, 15, 16, 51),
    Api.ADD_OFFSETS_TO_TXN: (14, 15, 16, 51),
    Api.TXN_OFFSET_COMMIT: (14, 15, 16),
    Api.PRODUCE: (6, 7, 56),
    Api.END_TXN: (14, 15, 16, 51),
    Api.FETCH: (6, 56),
    Api.HEARTBEAT: (15, 16, 25, 27),
    Api.CONSUMER_GROUP_HEARTBEAT: (15, 16, 25),
}
CROWDED = 0.2  # share of the faults
PAUSE_S_MAX = 3.0  # beyond the session
DOWN_S = 1.0, 12.0  # downtime of a broker; Kafka detects a dead one after 9 s


def variants(protocol: str, processes: int = 1, nodes: int = 1) -> Iterator[Fault]:
    """Yield every variant of every class that applies; without broker faults, if there are several nodes."""
    if processes > 1:
        yield from [Fault(Kind.KILL_PROCESS)] * 4
    yield from [Fault(Kind.KILL)] * 6
    yield from [Fault(Kind.WIPE)] * 2
    yield from [Fault(Kind.PAUSE)] * 2
    yield from [Fault(Kind.ZOMBIE)] * 2
    yield from [Fault(Kind.TERM)] * 3
    yield from [Fault(Kind.JOIN)] * 2
    yield from [Fault(Kind.DISK_FULL)] * 2
    if nodes == 1:
        yield from [Fault(Kind.BROKER_KILL)] * 2
        yield from [Fault(Kind.BROKER_STOP)] * 2
    for after in (False, True):
        yield from (Fault(Kind.KILL_AT_STEP, api=api, after=after) for api in COMMIT_STEPS)
    for api in (*COMMIT_STEPS, Api.INIT_PRODUCER_ID, Api.FETCH, HEARTBEATS[protocol]):
        yield from (Fault(Kind.WIRE_CUT, api=api, after=after) for after in (False, True))
        yield from (Fault(Kind.WIRE_DELAY, api=api, after=after) for after in (False, True))
        yield from (Fault(Kind.WIRE_ERROR, api=api, code=code) for code in ERRORS[api])


def bounces(workers: int, nodes: int = 1) -> list[Fault]:
    """Return the faults of Kafka's own transactions test: three bounces of each client, one of each broker.

    Source: tests/kafkatest/tests/core/transactions_test.py of Apache Kafka, which bounces each broker once.
    Clean and hard bounces of clients are two runs there and mixed here.
    """
    kinds = (Kind.KILL, Kind.TERM, Kind.KILL)
    each = [Fault(kind, worker=number) for kind in kinds for number in range(workers)]
    middle = len(each) // 2
    brokers = [Fault(Kind.BROKER_KILL)]
    if nodes > 1:
        brokers = [Fault(Kind.LEADER_KILL, worker=number, seconds=DOWN_S[0]) for number in range(nodes)]
    return [*each[:middle], *brokers, *each[middle:]]


def draw(seed: int, faults: int, protocol: str, processes: int = 1, nodes: int = 1) -> list[Fault]:
    """Return this number of faults, always the same for a seed.

    All variants occur once in random order, then all again, so that a small number favors no class. With
    several nodes, every second fault is one of the cluster, and none is crowded, so each stall has one cause.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    common = _endless(list(variants(protocol, processes, nodes)), rng)
    cluster = _endless([Fault(kind) for kind in sorted(CLUSTER)], rng)
    drawn = [next(cluster if nodes > 1 and number % 2 == 0 else common) for number in range(faults)]
    detailed = [_detailed(fault, rng) for fault in drawn]
    return detailed if nodes == 1 else [replace(fault, crowded=False) for fault in detailed]


def _endless(bag: Sequence[Fault], rng: random.Random) -> Iterator[Fault]:
    """Yield all faults of the bag in random order, then all again, without end."""
    while True:  # ends: `draw` takes only as many as it needs
        yield from _spread(bag, rng)


def _spread(bag: Sequence[Fault], rng: random.Random) -> list[Fault]:
    """Shuffle the faults: first one of each class, then the others."""
    shuffled = rng.sample(bag, len(bag))
    first = list({fault.kind: fault for fault in shuffled}.values())
    rng.shuffle(first)
    others = list(shuffled)
    for fault in first:
        others.remove(fault)
    return first + others


def _detailed(fault: Fault, rng: random.Random) -> Fault:
    if fault.kind in CLUSTER:
        return Fault(fault.kind, worker=rng.randrange(1 << 16), seconds=rng.uniform(*DOWN_S))
    is_wire = fault.kind in {Kind.WIRE_CUT, Kind.WIRE_DELAY, Kind.WIRE_ERROR}
    chance = rng.choice((None, None, 0.2)) if is_wire else None
    return Fault(
        kind=fault.kind,
        worker=rng.randrange(1 << 16),
        api=fault.api,
        after=fault.after,
        code=fault.code,
        chance=chance,
        nth=rng.randint(1, 3) if is_wire and chance is None else 1,
        crowded=rng.random() < CROWDED,
        seconds=rng.uniform(0.5, PAUSE_S_MAX),
    )
