"""`worker`: one member of the group, until it is told to stop."""

import os
import signal
from types import FrameType

import structlog
import typer

from stream.cli.app import complain, exit_code, settings
from stream.errors import StreamError
from stream.run.clock import SystemClock
from stream.run.wire import run_worker
from stream.telemetry.logs import configure_logs


def worker() -> None:
    """Count anagrams, exactly once, until SIGTERM or Ctrl-C; a second signal stops at once."""
    chosen = settings()
    configure_logs(chosen.log_format, debug="debug" in chosen.client_config)
    log = structlog.get_logger()
    clock = SystemClock()

    def stop(number: int, _: FrameType | None) -> None:
        if clock.stopped:
            os._exit(128 + number)  # whatever is open is aborted by the next worker or the broker
        clock.stop()  # and no more: a log line here could wait for a lock that the interrupted one holds

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        run_worker(chosen, clock)
    except StreamError as error:
        log.critical("worker failed", error=str(error), mend=getattr(error, "mend", ""))
        complain(error)
        raise typer.Exit(exit_code(error)) from error
