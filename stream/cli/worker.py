"""`worker`: counts anagrams as a member of the consumer group until it is stopped."""

from typing import Annotated, Any

import structlog
import typer

from stream.cli.app import exit_code, report_error, settings
from stream.errors import StreamError
from stream.supervisor.cores import processes_in_memory, usable_cores
from stream.supervisor.hang import SingleProcess
from stream.supervisor.supervisor import supervise
from stream.worker.wiring import run_worker

PROCESSES_HELP = (
    "Number of processes that share the partitions, or auto: one per usable core, at most one per input "
    "partition, and only as many as fit into the container's memory limit. By default STREAM_PROCESSES."
)


def worker(
    processes: Annotated[str | None, typer.Option(metavar="N|auto", help=PROCESSES_HELP)] = None,
) -> None:
    """Count anagrams exactly once until SIGTERM or Ctrl-C. A second signal stops the worker immediately."""
    given: dict[str, Any] = {} if processes is None else {"processes": processes}
    chosen = settings(**given)
    wanted = _fitting_processes() if chosen.processes == "auto" else chosen.processes
    try:
        if wanted > 1:
            supervise(chosen, wanted)
        else:
            process = SingleProcess()
            run_worker(chosen, process.clock, process.start_again)
    except StreamError as error:
        structlog.get_logger().critical("worker failed", error=str(error), fix=getattr(error, "hint", ""))
        report_error(error)
        raise typer.Exit(exit_code(error)) from error


def _fitting_processes() -> int:
    """Return the number of usable cores, or of the processes that fit into the memory limit if fewer."""
    cores, in_memory = usable_cores(), processes_in_memory()
    if in_memory < cores:
        structlog.get_logger().warning("memory limit reduces processes", cores=cores, processes=in_memory)
    return min(cores, in_memory)
