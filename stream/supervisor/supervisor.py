"""Several worker processes on one machine: started, monitored, restarted and stopped together.

The supervisor forks, so it must not have threads or a Kafka client: a fork copies the locks of other threads,
but not the threads. Child processes do what needs threads: one checks the topics before any worker starts,
one serves metrics and probes of all workers on one port. The workers share the loaded fold and all imports.
"""

import random
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import inf
from multiprocessing.connection import wait
from socket import socket
from time import monotonic

import structlog

from stream.config import Settings
from stream.errors import Fatal, Refused
from stream.exercise.faults import load_plan
from stream.supervisor.child import ORPHAN_S_MAX, Child, ExitReport, ParentDeathPipe, Task
from stream.supervisor.hang import exit_after_hang
from stream.supervisor.metrics_aggregator import MetricsAggregator
from stream.supervisor.restarts import DEATHS_IN_A_ROW_MAX, RestartBackoff
from stream.supervisor.shared_state import SharedState
from stream.supervisor.signals import Signals
from stream.supervisor.sockets import sockets_folder
from stream.telemetry.listening import address_of, listen
from stream.telemetry.logs import bind_everywhere
from stream.telemetry.server import not_listening
from stream.worker.clock import SystemClock
from stream.worker.memory import give_back
from stream.worker.startup import announce, check_topics, run_once_s_max, settle_protocol
from stream.worker.wiring import Shared, SharedFold, load_shared_fold, run_worker

_log = structlog.get_logger()


def supervise(settings: Settings, processes_max: int) -> None:
    """Run worker processes until a signal. With `auto`, at most one per partition of the input.

    Raises:
        Fatal: the workers could not start or continue; all have exited.
    """
    plan = load_plan(settings.faults)
    try:
        listener = listen(settings.http_host, settings.http_port)
    except OSError as error:
        raise not_listening(settings.http_host, settings.http_port, error) from error
    with ExitStack() as closing:
        closing.callback(listener.close)
        signals = closing.enter_context(Signals())  # before there is anything to clean up
        folder, short_path = closing.enter_context(sockets_folder(settings.state_dir))
        announce(settings, address_of(listener)[1], plan)
        parent_death = ParentDeathPipe(partial(shutil.rmtree, folder, ignore_errors=True))
        shared_state = SharedState(short_path, processes_max)
        supervisor = Supervisor(settings, listener, shared_state, signals, parent_death)
        closing.callback(supervisor.close)
        supervisor.run(run_once_s_max(settings, plan))


@dataclass(slots=True)
class ManagedProcess:
    """A process that the supervisor keeps running.

    Attributes:
        number: of a worker; None for the metrics aggregator.
        started_at: by the monotonic clock; 0 before the first start.
        start_at: when it is due to start, by the monotonic clock; None while it runs or must not start.
    """

    name: str
    task: Task
    number: int | None = None
    child: Child | None = None
    started_at: float = 0.0
    start_at: float | None = 0.0
    backoff: RestartBackoff = field(default_factory=lambda: RestartBackoff(random.random))


class Supervisor:
    """Starts, monitors, restarts and stops the metrics aggregator and the workers."""

    def __init__(
        self,
        settings: Settings,
        listener: socket,
        shared_state: SharedState,
        signals: Signals,
        parent_death: ParentDeathPipe,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._shared_state = shared_state
        self._signals = signals
        self._parent_death = parent_death
        self._aggregator = ManagedProcess(
            "metrics aggregator", partial(_serve_metrics, listener, shared_state)
        )
        self._workers: list[ManagedProcess] = []
        self._topic_check: Child | None = None
        self._stopping = False
        self._failures: list[Fatal] = []  # the one that stopped all processes first

    def run(self, drain_s_max: float) -> None:
        """Run until a signal, an error that stops all processes or the exit of the last one; then drain.

        Raises:
            Fatal: a process raised a StreamError, or it died too often in a row; others may have continued.
            SystemExit: a second signal arrived.
        """
        self._start(self._aggregator)
        self._workers = self._prepare_workers()
        while not self._stopping:
            self._run_once()
        self._drain(drain_s_max)
        if self._failures:
            raise self._failures[0]

    def close(self) -> None:
        """Kill every process that still runs."""
        for process in (*self._workers, self._aggregator):
            if process.child is not None:
                process.child.kill()
                process.child = None
        if self._topic_check is not None:
            self._topic_check.kill()
            self._topic_check = None

    def _prepare_workers(self) -> list[ManagedProcess]:
        """Load the fold while a child checks the topics; return the workers to start."""
        settings = self._settings
        topic_check = self._topic_check = Child(
            "topic check", partial(_count_partitions, settings), self._parent_death
        )
        fold = load_shared_fold(settings)
        give_back()
        while (report := topic_check.exit_report()) is None:
            self._run_once(topic_check)
            if self._stopping:
                topic_check.stop()
        if report.failure is not None:
            raise report.failure.error("")
        if report.status:
            raise Fatal(f"the process that checks the topics died: {report}; no worker was started")
        count = 0 if self._stopping else self._process_count(report.value)
        self._shared_state.set_process_count(count)
        return [
            ManagedProcess(
                f"process {number}",
                partial(_run_worker, settings, fold, self._shared_state, self._listener, number),
                number,
            )
            for number in range(count)
        ]

    def _process_count(self, partitions: int) -> int:
        processes_max = self._shared_state.processes_max
        if processes_max <= partitions:
            return processes_max
        if self._settings.processes == "auto":
            return partitions
        _log.warning("more processes than partitions", processes=processes_max, partitions=partitions)
        return processes_max

    def _start(self, process: ManagedProcess) -> None:
        if process.started_at and process.number is not None:
            self._shared_state.count_restart(process.number)
        process.started_at, process.start_at = monotonic(), None
        try:
            orphan_s_max = 0.0 if process is self._aggregator else ORPHAN_S_MAX
            process.child = Child(process.name, process.task, self._parent_death, orphan_s_max)
        except OSError as error:  # no memory, or too many processes
            self._schedule_restart(process, f"not started: {error.strerror}")
        else:
            if process.number is not None:
                _log.info("process started", process=process.number, pid=process.child.pid)

    def _run_once(self, *others: Child, until: float = inf) -> None:
        """Start processes that are due, wait for an event, then handle exits and signals."""
        processes = (self._aggregator, *self._workers)
        for process in processes:
            if process.start_at is not None and process.start_at <= monotonic():
                self._start(process)
        running = [*others, *(process.child for process in processes if process.child is not None)]
        wake_at = min([until, *(process.start_at for process in processes if process.start_at is not None)])
        waitables = [self._signals.fileno(), *(child.sentinel for child in running)]
        wait(waitables, None if wake_at == inf else max(0.0, wake_at - monotonic()))
        self._signals.clear()
        for process in processes:
            if process.child is not None and (report := process.child.exit_report()) is not None:
                process.child.kill()
                process.child = None
                self._handle_exit(process, report)
        if len(self._signals.received) > 1:
            raise SystemExit(128 + self._signals.received[-1])  # the next worker aborts open transactions
        self._stopping = self._stopping or bool(self._signals.received)

    def _handle_exit(self, process: ManagedProcess, report: ExitReport) -> None:
        if report.failure is not None and (report.failure.is_final or self._stopping):
            error = report.failure.error(process.name)
            self._end(process, error, stops_all=report.failure.stops_all)
        elif not self._stopping:
            self._schedule_restart(process, report.failure.text if report.failure else str(report))
        elif report.status:
            self._fail(
                Fatal(
                    f"{process.name} died while it drained: {report}; "
                    "the next worker processes its uncommitted input again"
                )
            )

    def _schedule_restart(self, process: ManagedProcess, how: str) -> None:
        wait_s = process.backoff.wait_s(monotonic() - process.started_at)
        if wait_s is None:
            why = f"{process.name} died {DEATHS_IN_A_ROW_MAX} times in a row, most recently: {how}"
            error = Refused(why, "read the log, or run one process: anagram-stream worker --processes 1")
            self._end(process, error, stops_all=process is self._aggregator)
            return
        process.start_at = monotonic() + wait_s
        _log.error("process died", name=process.name, how=how, restart_in_s=round(wait_s, 3))

    def _end(self, process: ManagedProcess, error: Fatal, *, stops_all: bool) -> None:
        """Do not restart a process; the others continue with its partitions, unless the error stops all."""
        if process.number is not None:
            self._shared_state.set_ended(process.number)
        remaining = [each for each in self._workers if each.child is not None or each.start_at is not None]
        if stops_all or self._stopping:
            self._fail(error)
            return
        self._failures.append(error)
        self._stopping = not remaining
        fix, others = getattr(error, "hint", ""), ", ".join(each.name for each in remaining) or "none"
        _log.error("process ended", name=process.name, error=str(error), fix=fix, continuing=others)

    def _fail(self, error: Fatal) -> None:
        """Let `run` drain the workers and raise this error, unless another error stopped them before."""
        if self._stopping:
            self._failures.append(error)
            return
        self._stopping = True
        self._failures.insert(0, error)
        _log.error("stopping all processes", error=str(error))

    def _drain(self, drain_s_max: float) -> None:
        """Let the workers finish their transactions; report the workers that exceed `drain_s_max` seconds."""
        self._stopping = True
        deadline = monotonic() + drain_s_max
        for process in self._workers:
            process.start_at = None
            if process.child is not None:
                process.child.stop()
        while (running := [process for process in self._workers if process.child]) and monotonic() < deadline:
            self._run_once(until=deadline)
        if running:
            names = ", ".join(process.name for process in running)
            self._fail(
                Fatal(
                    f"{names} did not drain within {drain_s_max:.0f} s; "
                    "the next worker processes their uncommitted input again"
                )
            )


def _serve_metrics(listener: socket, shared_state: SharedState, _: SystemClock) -> int:
    """Task of the metrics aggregator: serve metrics and probes of all workers on one port."""
    MetricsAggregator(shared_state).serve(listener)
    return 0


def _count_partitions(settings: Settings, clock: SystemClock) -> int:
    """Task of the topic check: return how many partitions the input has; 0 if it was stopped before."""
    topics = check_topics(settings, clock)
    if topics is None or settle_protocol(settings, clock) is None:
        return 0
    return topics.input.partitions


def _run_worker(  # noqa: PLR0913, PLR0917 - what a worker needs
    settings: Settings,
    fold: SharedFold,
    shared_state: SharedState,
    listener: socket,
    number: int,
    clock: SystemClock,
) -> int:
    """Task of a worker process."""
    listener.close()
    bind_everywhere(process=number)
    if settings.instance_id is not None:
        settings = settings.model_copy(update={"instance_id": f"{settings.instance_id}-{number}"})
    shared = Shared(fold, shared_state.socket_path(number), lambda: shared_state.is_first(number))
    run_worker(settings, clock, exit_after_hang, shared)
    return 0
