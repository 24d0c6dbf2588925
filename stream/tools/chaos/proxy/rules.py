"""What the proxy does, to which requests, how often."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class Api(IntEnum):
    """Requests, by Kafka's API keys."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28
    CONSUMER_GROUP_HEARTBEAT = 68


@dataclass(frozen=True, slots=True)
class Error:
    """Answer with this error code; the broker never sees the request."""

    code: int

    def __str__(self) -> str:
        return f"error {self.code}"


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection; `after`: when the broker has carried out the request, in place of its answer."""

    after: bool

    def __str__(self) -> str:
        return f"disconnect {'after' if self.after else 'before'}"


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the request for so many seconds, or `after` it was carried out its answer.

    What follows on the same connection waits behind it, as behind a slow network.
    """

    seconds: float
    after: bool = False

    def __str__(self) -> str:
        return f"delay {'after' if self.after else 'before'}"


Action = Error | Disconnect | Delay


class When:
    """Which of the requests that fit a rule meet it. Each rule needs one of its own: it counts."""

    def __init__(self, meets: Callable[[int], bool], last: int | None) -> None:
        """`meets` is given the request's number, from 1; after number `last` no request is met."""
        self._meets = meets
        self._last = last
        self._number = 0

    @classmethod
    def once(cls) -> Self:
        """The first."""
        return cls.on_call(1)

    @classmethod
    def on_call(cls, number: int) -> Self:
        """That one alone, counted from 1."""
        return cls(lambda n: n == number, number)

    @classmethod
    def times(cls, number: int) -> Self:
        """The first so many."""
        return cls(lambda n: n <= number, number)

    @classmethod
    def probability(cls, share: float, seed: int) -> Self:
        """That share of them, the same ones for the same seed."""
        rng = random.Random(seed)  # noqa: S311 - to be replayed, not to be secret
        return cls(lambda _: rng.random() < share, None)

    def meets(self) -> bool:
        """Count a request; return whether it is met."""
        self._number += 1
        if self._last is not None and self._number > self._last:
            return False
        return self._meets(self._number)


@dataclass(slots=True, eq=False)
class Rule:
    """What is done to which requests.

    Attributes:
        client: of this client id alone; None: of all.
        injected: how many requests it has met.
    """

    api: Api
    action: Action
    when: When
    client: str | None = None
    injected: int = 0

    def takes(self, api: int, client: str | None) -> bool:
        """Count a request if it fits; return whether the rule meets it."""
        if api != self.api or (self.client is not None and client != self.client) or not self.when.meets():
            return False
        self.injected += 1
        return True
