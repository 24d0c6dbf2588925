"""`health`: for the health checks of containers."""

import typer

from stream.cli.app import out
from stream.tools.health_check import check_health


def health() -> None:
    """Report whether the worker that runs on this machine or in this container is live.

    Exit status 0 if it is, or if no worker runs here; 1 if it is not, or does not answer. It asks
    STREAM_HTTP_PORT, or the port that the worker listens on if that is 0. Other commands have no probes.

    `python -m stream.tools.health_check` does the same and starts faster.
    """
    healthy, why = check_health()
    out.print(why, markup=False)
    raise typer.Exit(0 if healthy else 1)
