"""`health`: for the health checks of containers."""

import typer

from stream.cli.app import out
from stream.tools.health_check import check_health


def health() -> None:
    """Check whether the worker on this machine or in this container is live.

    Exit status 0 if the worker is live or no worker runs here, 1 if it is not live or does not respond. The
    check uses STREAM_HTTP_PORT or, if that is 0, the port on which the worker listens. Other commands have no
    probes.

    `python -m stream.tools.health_check` does the same and starts faster.
    """
    healthy, why = check_health()
    out.print(why, markup=False)
    raise typer.Exit(0 if healthy else 1)
