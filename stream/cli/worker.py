"""`worker`: counts anagrams as a member of the consumer group until it is stopped."""

import os
import signal
from types import FrameType
from typing import Annotated, Any

import structlog
import typer

from stream.cli.app import exit_code, report_error, settings
from stream.errors import StreamError
from stream.supervisor.cores import usable_cores
from stream.supervisor.supervisor import supervise
from stream.worker.clock import SystemClock
from stream.worker.wiring import run_worker

PROCESSES_HELP = (
    "Number of processes that share the partitions, or auto: one per usable core, at most one per "
    "input partition. By default STREAM_PROCESSES."
)


def worker(
    processes: Annotated[str | None, typer.Option(metavar="N|auto", help=PROCESSES_HELP)] = None,
) -> None:
    """Count anagrams exactly once until SIGTERM or Ctrl-C; a second signal ends the worker immediately."""
    given: dict[str, Any] = {} if processes is None else {"processes": processes}
    chosen = settings(**given)
    wanted = usable_cores() if chosen.processes == "auto" else chosen.processes
    try:
        if wanted > 1:
            supervise(chosen, wanted)
        else:
            run_worker(chosen, _stopped_by_signals())
    except StreamError as error:
        structlog.get_logger().critical("worker failed", error=str(error), fix=getattr(error, "hint", ""))
        report_error(error)
        raise typer.Exit(exit_code(error)) from error


def _stopped_by_signals() -> SystemClock:
    clock = SystemClock()

    def stop(number: int, _: FrameType | None) -> None:
        if clock.stopped:
            os._exit(128 + number)  # the next worker or the broker aborts an open transaction
        clock.stop()  # nothing else: a log line could wait for a lock that the interrupted code holds

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return clock
