"""Chooses the faults of a campaign from a seed; every variant occurs once before any occurs again."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stream.tools.chaos.proxy import Api


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
    WIRE_ERROR = "wire error"
    WIRE_CUT = "wire disconnect"
    WIRE_DELAY = "wire delay"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: its class.
        worker: a number that chooses a worker, modulo their number, and one of its processes.
        api: the request that the fault affects, or that a kill waits for.
        after: the fault comes after the broker has handled the request, not before.
        code: the error code of a wire error.
        chance: share of the requests that are affected; None: a single request.
        nth: which request is affected, counted from 1, if it is a single one.
        crowded: the next fault does not wait for the recovery from this one.
        seconds: how long the fault lasts, for classes where that is a choice.
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
        where = f" {'after' if self.after else 'before'} {self.api.name}" if self.api is not None else ""
        code = f" {self.code}" if self.code else ""
        often = f" with {self.chance:.0%}" if self.chance else f" on call {self.nth}" if self.nth > 1 else ""
        return f"{self.kind}{code}{where}{often}"


COMMIT_STEPS = (Api.PRODUCE, Api.ADD_OFFSETS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN)
HEARTBEATS = {"classic": Api.HEARTBEAT, "consumer": Api.CONSUMER_GROUP_HEARTBEAT}
ERRORS = {
    # Transient errors of a real broker. Errors that mean a fenced producer occur for real (ZOMBIE).
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


def variants(protocol: str, processes: int = 1) -> Iterator[Fault]:
    """Yield every variant of every class that applies to workers with this number of processes."""
    if processes > 1:
        yield from [Fault(Kind.KILL_PROCESS)] * 4
    yield from [Fault(Kind.KILL)] * 6
    yield from [Fault(Kind.WIPE)] * 2
    yield from [Fault(Kind.PAUSE)] * 2
    yield from [Fault(Kind.ZOMBIE)] * 2
    yield from [Fault(Kind.TERM)] * 3
    yield from [Fault(Kind.JOIN)] * 2
    yield from [Fault(Kind.DISK_FULL)] * 2
    yield from [Fault(Kind.BROKER_KILL)] * 2
    yield from [Fault(Kind.BROKER_STOP)] * 2
    for after in (False, True):
        yield from (Fault(Kind.KILL_AT_STEP, api=api, after=after) for api in COMMIT_STEPS)
    for api in (*COMMIT_STEPS, Api.INIT_PRODUCER_ID, Api.FETCH, HEARTBEATS[protocol]):
        yield from (Fault(Kind.WIRE_CUT, api=api, after=after) for after in (False, True))
        yield from (Fault(Kind.WIRE_DELAY, api=api, after=after) for after in (False, True))
        yield from (Fault(Kind.WIRE_ERROR, api=api, code=code) for code in ERRORS[api])


def bounces(workers: int) -> list[Fault]:
    """Return the faults of Kafka's own transactions test: three bounces of each client, a kill of the broker.

    Source: tests/kafkatest/tests/core/transactions_test.py of Apache Kafka, which bounces each broker once.
    Clean and hard bounces of clients are two runs there and mixed here.
    """
    kinds = (Kind.KILL, Kind.TERM, Kind.KILL)
    each = [Fault(kind, worker=number) for kind in kinds for number in range(workers)]
    middle = len(each) // 2
    return [*each[:middle], Fault(Kind.BROKER_KILL), *each[middle:]]


def draw(seed: int, faults: int, protocol: str, processes: int = 1) -> list[Fault]:
    """Return this number of faults, always the same for a seed.

    All variants occur once in random order, then all again, so that few faults favour no class.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    drawn: list[Fault] = []
    while len(drawn) < faults:
        drawn += _spread(list(variants(protocol, processes)), rng)
    return [_detailed(fault, rng) for fault in drawn[:faults]]


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
