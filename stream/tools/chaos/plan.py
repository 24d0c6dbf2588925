"""Which faults, in which order: drawn from a seed, each variant once before any comes again."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stream.tools.chaos.proxy import Api


class Kind(StrEnum):
    """The fault classes."""

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
        worker: a number, for the campaign to take modulo its workers, and their processes.
        api: the request that it meets, or that a kill waits for.
        after: it comes when the broker has carried out the request, not before.
        code: the broker's error code of a wire error.
        chance: the share of the requests that it meets; None: one of them.
        nth: the request that it meets, counted from 1, where it is one.
        crowded: the next fault does not wait until this one is healed.
        seconds: how long it lasts, where that is a choice.
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
    # What a broker really answers in passing; what means a fence is left to real fences (ZOMBIE).
    Api.INIT_PRODUCER_ID: (14, 15, 16, 51),
    Api.ADD_OFFSETS_TO_TXN: (14, 15, 16, 51),
    Api.TXN_OFFSET_COMMIT: (14, 15, 16),
    Api.PRODUCE: (6, 7, 56),
    Api.END_TXN: (14, 15, 16, 51),
    Api.FETCH: (6, 56),
    Api.HEARTBEAT: (15, 16, 25, 27),
    Api.CONSUMER_GROUP_HEARTBEAT: (15, 16, 25),
}
CROWDED = 0.2  # of the faults
PAUSE_S_MAX = 3.0  # beyond the session


def variants(protocol: str, processes: int = 1) -> Iterator[Fault]:
    """Yield every fault that workers of so many processes can meet: each class, at each step that it has."""
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
    """Return the faults of Kafka's own transactions test: each client bounced thrice, the broker hard.

    Source: tests/kafkatest/tests/core/transactions_test.py of Apache Kafka, whose brokers are bounced once;
    clean and hard bounces of clients are two runs there and mixed here.
    """
    kinds = (Kind.KILL, Kind.TERM, Kind.KILL)
    each = [Fault(kind, worker=number) for kind in kinds for number in range(workers)]
    middle = len(each) // 2
    return [*each[:middle], Fault(Kind.BROKER_KILL), *each[middle:]]


def draw(seed: int, faults: int, protocol: str, processes: int = 1) -> list[Fault]:
    """Return that many faults: the same ones for the same seed.

    All variants come once in random order, then all again: of few faults, no class is favoured.
    """
    rng = random.Random(seed)  # noqa: S311 - to be replayed, not to be secret
    drawn: list[Fault] = []
    while len(drawn) < faults:
        drawn += _spread(list(variants(protocol, processes)), rng)
    return [_detailed(fault, rng) for fault in drawn[:faults]]


def _spread(bag: Sequence[Fault], rng: random.Random) -> list[Fault]:
    """Shuffle so that every class comes early: first one of each, then the rest."""
    shuffled = rng.sample(bag, len(bag))
    first = list({fault.kind: fault for fault in shuffled}.values())
    rng.shuffle(first)
    rest = list(shuffled)
    for fault in first:
        rest.remove(fault)
    return first + rest


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
