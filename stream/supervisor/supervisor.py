"""Several worker processes on one machine: started, watched, started again, stopped together.

The supervisor forks, so it is kept from what a fork breaks: it has no thread and no Kafka client. What
needs those is done in children: one surveys the topics before there are workers, one answers for all on one
port. The workers share the dictionary and all that was imported.
"""

import random
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import inf
from multiprocessing.connection import wait
from pathlib import Path
from socket import socket
from time import monotonic

import structlog

from stream.config import Settings
from stream.core.lexicon import Packed, pack
from stream.errors import Fatal, Misconfigured, Refused
from stream.exercise.faults import load_plan
from stream.supervisor.child import ORPHAN_S_MAX, Child, End, Failure, ParentDeathPipe, Work
from stream.supervisor.metrics_aggregator import MetricsAggregator
from stream.supervisor.restarts import DEATHS_IN_A_ROW_MAX, Restarts
from stream.supervisor.shared_state import SharedState
from stream.supervisor.signals import Signals
from stream.telemetry.listening import address_of, listen
from stream.telemetry.logs import bind_everywhere
from stream.telemetry.server import not_listening
from stream.worker.clock import SystemClock
from stream.worker.memory import give_back
from stream.worker.startup import announce, load_words, survey, turn_s_max
from stream.worker.wiring import Shared, run_worker

_log = structlog.get_logger()


def supervise(settings: Settings, processes_max: int) -> None:
    """Run worker processes until a signal; as many as the input has partitions where `auto` would be more.

    Raises:
        Fatal: they could not start or go on; all have ended.
    """
    plan = load_plan(settings.faults)
    try:
        listener = listen(settings.http_host, settings.http_port)
    except OSError as error:
        raise not_listening(settings.http_host, settings.http_port, error) from error
    with ExitStack() as closing:
        closing.callback(listener.close)
        signals = closing.enter_context(Signals())  # before there is anything to clean up
        folder = Path(tempfile.mkdtemp(prefix="anagram-stream-"))  # its owner's alone
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        announce(settings, address_of(listener)[1], plan)
        tie = ParentDeathPipe(partial(shutil.rmtree, folder, ignore_errors=True))
        supervisor = Supervisor(settings, listener, SharedState(folder, processes_max), signals, tie)
        closing.callback(supervisor.close)
        supervisor.run(turn_s_max(settings, plan))


@dataclass(slots=True)
class ManagedProcess:
    """Of one process that is kept running.

    Attributes:
        number: of a worker's.
        due: when it is to be started, by the monotonic clock; None while it runs, or is to run no more.
    """

    name: str
    work: Work
    number: int | None = None
    child: Child | None = None
    started: float = 0.0
    due: float | None = 0.0
    restarts: Restarts = field(default_factory=lambda: Restarts(random.random))


class Supervisor:
    """Starts, watches and stops."""

    def __init__(
        self, settings: Settings, listener: socket, board: SharedState, signals: Signals, tie: ParentDeathPipe
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._board = board
        self._signals = signals
        self._tie = tie
        self._front = ManagedProcess("front", partial(_answer, listener, board))
        self._workers: list[ManagedProcess] = []
        self._surveyor: Child | None = None
        self._stopping = False
        self._failed: Fatal | None = None

    def run(self, drain_s_max: float) -> None:
        """Run until a signal, or until it cannot go on.

        Raises:
            Fatal: what one of the processes failed with, or that it dies again and again.
            SystemExit: a second signal came.
        """
        self._start(self._front)
        self._workers = self._prepare()
        while not self._stopping and self._failed is None:
            self._turn()
        self._drain(drain_s_max)
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Leave no process behind."""
        for place in (*self._workers, self._front):
            if place.child is not None:
                place.child.kill()
                place.child = None
        if self._surveyor is not None:
            self._surveyor.kill()
            self._surveyor = None

    def _prepare(self) -> list[ManagedProcess]:
        """Look at the topics and load the dictionary at the same time; return the places of the workers."""
        settings = self._settings
        surveyor = self._surveyor = Child("survey", partial(_survey, settings), self._tie)
        words = pack(load_words(settings))
        give_back()
        while (end := surveyor.end()) is None:
            self._turn(surveyor)
            if self._stopping:
                surveyor.stop()
        if end.failure is not None:
            raise _error(end.failure, "")
        if end.status:
            raise Fatal(f"looking at the topics failed: {end}")
        number = 0 if self._stopping else self._number(end.answer)
        self._board.begin(number)
        works = [partial(_work, settings, words, self._board, self._listener, n) for n in range(number)]
        return [ManagedProcess(f"process {n}", work, n) for n, work in enumerate(works)]

    def _number(self, partitions: int) -> int:
        most = self._board.processes_max
        if most <= partitions:
            return most
        if self._settings.processes == "auto":
            return partitions
        _log.warning("more processes than partitions", processes=most, partitions=partitions)
        return most

    def _start(self, place: ManagedProcess) -> None:
        if place.started and place.number is not None:
            self._board.restarted(place.number)
        place.started, place.due = monotonic(), None
        try:
            orphan_s_max = 0.0 if place is self._front else ORPHAN_S_MAX
            place.child = Child(place.name, place.work, self._tie, orphan_s_max)
        except OSError as error:  # no memory, or too many processes
            self._died(place, f"could not be started: {error.strerror}")
        else:
            if place.number is not None:
                _log.info("process started", process=place.number, pid=place.child.pid)

    def _turn(self, *others: Child, until: float = inf) -> None:
        """Start who is due, wait for something to happen, and take note of who ended and of signals."""
        places = (self._front, *self._workers)
        for place in places:
            if place.due is not None and place.due <= monotonic():
                self._start(place)
        running = [*others, *(place.child for place in places if place.child is not None)]
        due = min([until, *(place.due for place in places if place.due is not None)])
        wakes = [self._signals.fileno(), *(child.sentinel for child in running)]
        wait(wakes, None if due == inf else max(0.0, due - monotonic()))
        self._signals.seen()
        for place in places:
            if place.child is not None and (end := place.child.end()) is not None:
                place.child.kill()
                place.child = None
                self._ended(place, end)
        if len(self._signals.received) > 1:
            raise SystemExit(128 + self._signals.received[-1])  # what is open is aborted by the next worker
        self._stopping = self._stopping or bool(self._signals.received)

    def _ended(self, place: ManagedProcess, end: End) -> None:
        if end.failure is not None:
            self._fail(_error(end.failure, f"{place.name}: "))
        elif not self._stopping:
            self._died(place, str(end))
        elif end.status:
            self._fail(Fatal(f"{place.name} died while it drained: {end}; the next reads that again"))

    def _died(self, place: ManagedProcess, how: str) -> None:
        wait_s = place.restarts.wait_s(monotonic() - place.started)
        if wait_s is None:
            why = f"{place.name} died {DEATHS_IN_A_ROW_MAX} times in a row, the last time {how}"
            self._fail(Refused(why, "read the log, or try one alone: anagram-stream worker --processes 1"))
            return
        place.due = monotonic() + wait_s
        _log.error("process died", name=place.name, how=how, again_in_s=round(wait_s, 3))

    def _fail(self, error: Fatal) -> None:
        if self._failed is None:
            self._failed = error
            _log.error("all processes are stopped", error=str(error))

    def _drain(self, drain_s_max: float) -> None:
        """Let the workers finish what they have, and end those that do not come to an end."""
        self._stopping = True
        deadline = monotonic() + drain_s_max
        for place in self._workers:
            place.due = None
            if place.child is not None:
                place.child.stop()
        while (left := [place for place in self._workers if place.child]) and monotonic() < deadline:
            self._turn(until=deadline)
        if left:
            names = ", ".join(place.name for place in left)
            self._fail(Fatal(f"{names} did not drain within {drain_s_max:.0f} s; the next reads that again"))


def _answer(listener: socket, board: SharedState, _: SystemClock) -> int:
    """Answer for all on one port: the work of a process of its own."""
    MetricsAggregator(board).serve(listener)
    return 0


def _survey(settings: Settings, clock: SystemClock) -> int:
    """Return how many partitions the input has; 0 when stopped meanwhile."""
    found = survey(settings, clock)
    return 0 if found is None else found.input.partitions


def _work(  # noqa: PLR0913, PLR0917 - what a worker is given
    settings: Settings, words: Packed, board: SharedState, listener: socket, number: int, clock: SystemClock
) -> int:
    """Run one worker: the work of each of the processes."""
    listener.close()
    bind_everywhere(process=number)
    if settings.instance_id is not None:
        settings = settings.model_copy(update={"instance_id": f"{settings.instance_id}-{number}"})
    run_worker(settings, clock, Shared(words, board.socket(number)))
    return 0


def _error(failure: Failure, where: str) -> Fatal:
    if failure.is_misconfigured:
        return Misconfigured(where + failure.text, failure.hint)
    return Refused(where + failure.text, failure.hint) if failure.hint else Fatal(where + failure.text)
