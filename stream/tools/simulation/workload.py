"""The interface of a simulation to one fold: its input records and their expected outcomes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from stream.core.fold import Fold
from stream.core.records import Header, InputRecord
from stream.testing.names import Names


@dataclass(frozen=True, slots=True)
class Submission:
    """A record of the input topic, before it has an offset."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """The permitted outcomes of an input record.

    Attributes:
        result: fields of its result; None if it must be rejected.
        deltas: key -> what the result adds to its total.
        reasons: the permitted reasons of a rejection.
    """

    result: Mapping[str, Any] | None
    deltas: Mapping[bytes, int] = field(default_factory=dict)
    reasons: frozenset[str] = frozenset()


class Workload(Protocol):
    """Draws input records for a fold, and computes their results independently of it.

    A result is JSON with a `source.offset`, and totals are decimal numbers that only grow.
    """

    @property
    def fold(self) -> Fold:
        """The fold that the workers run."""

    def draw(self) -> Submission:
        """Draw a record: most are good, some are poison, some fail in `disturb`."""

    def disturb(self, record: InputRecord) -> None:
        """Raise StageFailed for some records."""

    def expect(self, record: InputRecord) -> Expected:
        """Return the permitted outcomes of a record."""


MakeWorkload = Callable[[Random, Names], Workload]
