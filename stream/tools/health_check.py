"""Reports whether the worker that is running here is live: `python -m stream.tools.health_check`.

It is meant for container health checks, which run every few seconds, so it imports little. `anagram-stream
health` does the same.
"""

import http.client
import os
import sys
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path

import psutil

from stream.config import Settings, load_settings
from stream.errors import Misconfigured

REQUEST_TIMEOUT_S = 2.0
NO_WORKER = "no worker is running here"
_PATH = "/healthz/live"


def check_health(settings: Settings | None = None) -> tuple[bool, str]:
    """Return whether the worker is live, and why: its own response, or that no worker is running here.

    Commands other than `worker` have no probes and count as healthy while they run. The request goes to the
    port of the settings, or, if that is any free port, to the one that the worker listens on.

    Raises:
        Misconfigured: a worker is running, but the settings are wrong.
    """
    workers = list(_workers())
    if not workers:
        return True, NO_WORKER
    chosen = settings or load_settings()
    ports = {chosen.http_port} if chosen.http_port else set(_listening_ports(workers))
    if not ports:
        return False, f"a worker is running (process {workers[0].pid}), but does not listen on a port yet"
    responses = [_ask(_address(chosen.http_host), port) for port in sorted(ports)]
    return all(is_live for is_live, _ in responses), "\n".join(text for _, text in responses)


def subcommand(command: Sequence[str]) -> str | None:
    """Return `worker` for the command line of `anagram-stream worker`; None for that of another program."""
    for index, word in enumerate(command):
        if Path(word).name == "anagram-stream" or (word == "stream" and command[index - 1] == "-m"):
            return next((each for each in command[index + 1 :] if not each.startswith("-")), "")
    return None


def _workers() -> Iterator[psutil.Process]:
    """Yield the processes of workers, except those that another command started for itself."""
    for process in psutil.process_iter():
        try:
            if subcommand(process.cmdline()) == "worker" and not any(
                subcommand(parent.cmdline()) not in {None, "worker"} for parent in process.parents()
            ):
                yield process
        except psutil.Error:  # it exited, or belongs to another user
            continue


def _listening_ports(workers: Sequence[psutil.Process]) -> Iterator[int]:
    for worker in workers:
        try:
            for connection in worker.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    yield connection.laddr.port
        except psutil.Error:
            continue


def _address(host: str) -> str:
    """Return the address at which a server on this host is reachable from here."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return ("127.0.0.1" if address.version == 4 else "::1") if address.is_unspecified else host  # noqa: PLR2004


def _ask(host: str, port: int) -> tuple[bool, str]:
    connection = http.client.HTTPConnection(host, port, timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request("GET", _PATH)
        response = connection.getresponse()
        return response.status == HTTPStatus.OK, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, f"a worker is running, but nothing responds at {host}:{port}: {error}"
    finally:
        connection.close()


if __name__ == "__main__":
    try:
        healthy, why = check_health()
    except Misconfigured as error:
        healthy, why = False, str(error)
    sys.stdout.write(why + os.linesep)
    sys.exit(not healthy)
