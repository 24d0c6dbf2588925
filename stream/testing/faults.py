"""Faults: a hook before and after the effect of every fake call.

BEFORE: the request was not carried out (the process died, the request was lost). AFTER: it was carried out,
and its response was lost. Every failure of a call is one of these two.
"""

import random
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from stream.errors import Abortable, Blocked, Fatal, InDoubt, Retriable, StreamError


class Crashed(BaseException):
    """The process died at this call: no more of its code runs."""


class DiskFull(Fatal):
    """A write to a store failed because the disk is full."""


class Moment(StrEnum):
    """Before or after the effect of a call."""

    BEFORE = "before"
    AFTER = "after"


_MOMENTS = len(Moment)
LATE_S_MAX = 8.0  # far beyond the timeout of a transaction: several later ones have ended by then


class FaultClass(StrEnum):
    """What can go wrong at a call."""

    ERROR = "error"  # the request or its response was lost, or the broker refused it
    CRASH = "crash"  # kill -9
    PAUSE = "pause"  # SIGSTOP, for a while
    SWITCH = "switch"  # only bad timing: other processes run first
    REBALANCE = "rebalance"  # the group reached its next epoch without the caller
    LATE = "late"  # the network delayed a request of a transaction; it arrives when no one waits for it


Planned = BaseException | Callable[[], None]


class Faults:
    """The hook: only faults that a test planned occur."""

    def __init__(self) -> None:
        self._planned: list[tuple[str, Moment, Planned]] = []
        self._late: dict[str, float] = {}

    def plan(self, call: str, moment: Moment, fault: Planned) -> None:
        """Inject `fault` once, at the next such call: an exception is raised, a callable is called."""
        self._planned.append((call, moment, fault))

    def plan_late(self, call: str, seconds: float) -> None:
        """Let the request of the next such call arrive `seconds` later."""
        self._late[call] = seconds

    def late_s(self, call: str) -> float | None:
        """Return how much later a request of a transaction arrives; None: now, with a response."""
        return self._late.pop(call, None)

    def visit(self, call: str, moment: Moment) -> None:
        """Raise the fault planned for this moment of a call, if any; every fake call visits twice."""
        for planned in self._planned:
            if planned[:2] == (call, moment):
                self._planned.remove(planned)
                _happen(planned[2])
                return


def _happen(fault: Planned) -> None:
    if isinstance(fault, BaseException):
        raise fault
    fault()


class FaultyPort(Protocol):
    """The part of a fake that `faulty` needs."""

    faults: Faults


_Port = TypeVar("_Port", bound=FaultyPort)
_Args = ParamSpec("_Args")
_Answer = TypeVar("_Answer")
_Method = Callable[Concatenate[_Port, _Args], _Answer]


def faulty(call: str) -> Callable[[_Method[_Port, _Args, _Answer]], _Method[_Port, _Args, _Answer]]:
    """Let faults occur before and after the effect of a fake's method, under the name `call`."""

    def wrap(method: _Method[_Port, _Args, _Answer]) -> _Method[_Port, _Args, _Answer]:
        @wraps(method)
        def called(self: _Port, /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Answer:
            self.faults.visit(call, Moment.BEFORE)
            answer = method(self, *args, **kwargs)
            self.faults.visit(call, Moment.AFTER)
            return answer

        return called

    return wrap


def _blocked(text: str) -> Blocked:
    return Blocked(text, "wait")


Failure = Callable[[str], StreamError]

REQUEST_LOST: Mapping[str, tuple[Failure, ...]] = {
    "source.poll_batch": (Retriable,),
    "source.committed": (Retriable,),
    "source.offset_range": (Retriable,),
    "source.resume_from": (Retriable,),
    "sink.check": (Retriable, _blocked),
    "sink.check_topics": (Retriable,),
    "sink.log_ends": (Retriable,),
    "sink.has_outcomes": (Retriable,),
    "sink.flush": (Abortable, InDoubt),
    "sink.begin": (Abortable, InDoubt),
    "sink.produce": (Abortable, InDoubt),
    "sink.produce_changelog": (Abortable, InDoubt),
    "sink.send_offsets": (Abortable, InDoubt),
    "sink.commit": (Abortable, InDoubt),
    "sink.abort": (InDoubt,),
    "sink.reset_producer": (Retriable,),
    "reader.offset_range": (Retriable,),
    "reader.read": (Retriable,),
    "store.write": (DiskFull,),
}
"""Call -> errors if the request was lost. The ports promise that no other call fails."""

ANSWER_LOST: Mapping[str, tuple[Failure, ...]] = {
    "source.committed": (Retriable,),
    "source.offset_range": (Retriable,),
    "sink.check": (Retriable,),
    "sink.check_topics": (Retriable,),
    "sink.log_ends": (Retriable,),
    "sink.flush": (Abortable, InDoubt),
    "sink.begin": (InDoubt,),
    "sink.produce": (Abortable, InDoubt),
    "sink.produce_changelog": (Abortable, InDoubt),
    "sink.send_offsets": (Abortable, InDoubt),
    "sink.commit": (InDoubt,),
    "sink.abort": (InDoubt,),
    "sink.reset_producer": (Retriable,),
    "reader.offset_range": (Retriable,),
}
"""Call -> errors if the response was lost. Reads that advance a position never fail in this way."""


class SeededFaults(Faults):
    """Faults drawn at random, the same ones for the same seed."""

    def __init__(
        self,
        rng: random.Random,
        rate: Callable[[], float],
        weights: Mapping[FaultClass, float],
        surroundings: Callable[[FaultClass], None],
        trace: Callable[[str, Moment, str], None],
    ) -> None:
        """`rate` is the share of calls with a fault, over both moments.

        `surroundings` carries out the faults outside the call: PAUSE, SWITCH, REBALANCE.
        """
        super().__init__()
        self._rng = rng
        self._rate = rate
        self._classes = [kind for kind in weights if kind is not FaultClass.LATE]
        self._weights = [weights[kind] for kind in self._classes]
        self._late_share = weights.get(FaultClass.LATE, 0.0) / sum(self._weights)
        self._surroundings = surroundings
        self._trace = trace

    def visit(self, call: str, moment: Moment) -> None:
        if self._planned:
            super().visit(call, moment)
        if self._rng.random() * _MOMENTS >= self._rate():
            return
        kind = self._rng.choices(self._classes, self._weights)[0]
        if kind is FaultClass.ERROR:
            self._fail(call, moment)
            return
        self._trace(call, moment, kind)
        if kind is FaultClass.CRASH:
            raise Crashed(call)
        self._surroundings(kind)

    def late_s(self, call: str) -> float | None:
        if self._rng.random() >= self._rate() * self._late_share:
            return super().late_s(call)
        self._trace(call, Moment.BEFORE, FaultClass.LATE)
        return self._rng.uniform(0.0, LATE_S_MAX)

    def _fail(self, call: str, moment: Moment) -> None:
        failures = (REQUEST_LOST if moment is Moment.BEFORE else ANSWER_LOST).get(call)
        if failures is None:
            return
        failure = self._rng.choice(failures)(f"{call}: injected {moment} its effect")
        self._trace(call, moment, type(failure).__name__)
        raise failure
