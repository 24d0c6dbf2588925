"""The rules of the proxy: what it does to which requests, and how often."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self


class Api(IntEnum):
    """Requests and their API keys."""

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

    @property
    def text(self) -> str:
        """The name in Kafka's documentation, such as `TxnOffsetCommit`."""
        return "".join(part.capitalize() for part in self.name.split("_"))


_ERROR_NAMES = {
    6: "NOT_LEADER_OR_FOLLOWER",
    7: "REQUEST_TIMED_OUT",
    14: "COORDINATOR_LOAD_IN_PROGRESS",
    15: "COORDINATOR_NOT_AVAILABLE",
    16: "NOT_COORDINATOR",
    25: "UNKNOWN_MEMBER_ID",
    27: "REBALANCE_IN_PROGRESS",
    51: "CONCURRENT_TRANSACTIONS",
    56: "KAFKA_STORAGE_ERROR",
}


def error_name(code: int) -> str:
    """Return Kafka's name of an error code."""
    return _ERROR_NAMES.get(code, f"error {code}")


@dataclass(frozen=True, slots=True)
class Error:
    """Respond with this error code; the broker does not receive the request."""

    code: int

    def __str__(self) -> str:
        return f"error {self.code}"


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection before the broker receives the request, or `after` it but before the response."""

    after: bool

    def __str__(self) -> str:
        return f"disconnect {'after' if self.after else 'before'}"


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the request, or with `after` its response, for this number of seconds.

    Later requests of the same connection wait too, as in a slow network.
    """

    seconds: float
    after: bool = False

    def __str__(self) -> str:
        return f"delay {'after' if self.after else 'before'}"


@dataclass(frozen=True, slots=True)
class NoBrokers:
    """Remove the brokers from the response to a metadata request, like a node that is shutting down."""

    def __str__(self) -> str:
        return "no brokers"


Action = Error | Disconnect | Delay | NoBrokers


class When:
    """Chooses which of the matching requests a rule affects. It counts them, so each rule needs its own."""

    def __init__(self, affects: Callable[[int], bool], last: int | None) -> None:
        """`affects` decides by the number of the request, from 1; none after number `last` is affected."""
        self._affects = affects
        self._last = last
        self._number = 0

    @classmethod
    def once(cls) -> Self:
        """Affect the first request."""
        return cls.on_call(1)

    @classmethod
    def on_call(cls, number: int) -> Self:
        """Affect one request, counted from 1."""
        return cls(lambda n: n == number, number)

    @classmethod
    def times(cls, number: int) -> Self:
        """Affect the first requests, up to this number."""
        return cls(lambda n: n <= number, number)

    @classmethod
    def probability(cls, share: float, seed: int) -> Self:
        """Affect this share of the requests, the same ones for a seed."""
        rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
        return cls(lambda _: rng.random() < share, None)

    def affects(self) -> bool:
        """Count a request; return whether it is affected."""
        self._number += 1
        if self._last is not None and self._number > self._last:
            return False
        return self._affects(self._number)


@dataclass(slots=True, eq=False)
class Rule:
    """An action, and the requests that it affects; several proxies may share it.

    Attributes:
        client: client id of the sender; None for any sender.
        injected: number of affected requests.
    """

    api: Api
    action: Action
    when: When
    client: str | None = None
    injected: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)  # each proxy has a thread

    def applies(self, api: int, client: str | None) -> bool:
        """Count a request if it matches; return whether the rule affects it."""
        if api != self.api or (self.client is not None and client != self.client):
            return False
        with self._lock:
            if not self.when.affects():
                return False
            self.injected += 1
        return True
