"""`worker`: members of the group, until they are told to stop."""

import os
import signal
from types import FrameType
from typing import Annotated, Any

import structlog
import typer

from stream.cli.app import complain, exit_code, settings
from stream.errors import StreamError
from stream.supervisor.cores import usable_cores
from stream.supervisor.supervisor import supervise
from stream.worker.clock import SystemClock
from stream.worker.wiring import run_worker

PROCESSES_HELP = (
    "Processes that share the partitions: a number, or auto: the usable cores, at most one for each "
    "partition of the input. By default STREAM_PROCESSES."
)


def worker(
    processes: Annotated[str | None, typer.Option(metavar="N|auto", help=PROCESSES_HELP)] = None,
) -> None:
    """Count anagrams, exactly once, until SIGTERM or Ctrl-C; a second signal stops at once."""
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
        complain(error)
        raise typer.Exit(exit_code(error)) from error


def _stopped_by_signals() -> SystemClock:
    clock = SystemClock()

    def stop(number: int, _: FrameType | None) -> None:
        if clock.stopped:
            os._exit(128 + number)  # whatever is open is aborted by the next worker or the broker
        clock.stop()  # and no more: a log line here could wait for a lock that the interrupted one holds

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return clock
