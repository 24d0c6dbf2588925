"""What the commands share: the consoles, the settings, the printing of errors."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

from stream.config import Settings, ignored_variables, load_settings
from stream.errors import Misconfigured, StreamError
from stream.kafka import clients
from stream.telemetry.logs import configure_logs
from stream.tools.kafka.cluster_watch import ClusterWatch

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def examples(*lines: str) -> str:
    """Return the epilog of a `--help` that shows how the command is used."""
    return "[bold]Examples[/bold]\n\n" + "\n\n".join(f"[cyan]{line}[/cyan]" for line in lines)


def settings(**overrides: Any) -> Settings:  # noqa: ANN401 - as wide as the settings are
    """Return the settings, and configure logging as they say: Kafka clients log lines of their own."""
    chosen = load_settings(**overrides)
    configure_logs(chosen.log_format, debug="debug" in chosen.client_config, in_colour=_has_colors())
    _have_temporary_folder(chosen.state_dir)
    return chosen


def _has_colors() -> bool:
    """Return whether log lines may have colors: rich knows NO_COLOR and terminals without colors."""
    return err.color_system is not None and not err.no_color


def _have_temporary_folder(state_dir: Path) -> None:
    """Use the state folder for temporary files where no other folder is writable, as on a read-only root."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        with suppress(OSError):  # reported where the state folder is needed
            state_dir.mkdir(parents=True, exist_ok=True)
            tempfile.tempdir = str(state_dir)


def report_service_links() -> None:
    """Log once which variables of Kubernetes are ignored; a line for every command."""
    if names := ignored_variables():
        with suppress(Misconfigured):  # the command reports it
            configure_logs(load_settings().log_format, in_colour=_has_colors())
            structlog.get_logger().info(
                "Kubernetes service links ignored",
                variables=names,
                fix="set enableServiceLinks: false in the pod, if they are not wanted",
            )


def admin_client(chosen: Settings) -> clients.Admin:
    return clients.make_admin(chosen)


def say(sentence: str) -> None:
    """Print a sentence on standard error."""
    err.print(_plain(sentence))


def watch_cluster(chosen: Settings, *topics: str, say: Callable[[str], None] = say) -> ClusterWatch:
    """Say on standard error, until the command ends, that the broker is unavailable, and that it is back.

    With `topics` the watch also notices that another cluster answers, or that a topic was created again.
    """
    return ClusterWatch(chosen, topics, say)


def quantity(number: int, noun: str) -> str:
    """Return `1 blob`, `2 blobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def watch_reading(chosen: Settings, topic: str, *, follow: bool) -> ClusterWatch:
    """Watch the cluster while a command reads a topic, and with `follow` whether the topic is the same."""
    if follow and err.is_terminal:
        err.print("following the topic; Ctrl-C stops")  # there may be no output for a while
    return watch_cluster(chosen, *([topic] if follow else []))


def warn(sentence: str) -> None:
    err.print(f"[yellow]warning:[/yellow] {_plain(sentence)}")


def report_error(error: StreamError) -> None:
    """Print what is wrong and what fixes it."""
    err.print(f"[bold red]error:[/bold red] {_plain(str(error))}")
    hint = getattr(error, "hint", "")
    if hint:
        err.print(f"[bold]  fix:[/bold] {_plain(hint)}")


def exit_code(error: StreamError) -> int:
    return 2 if isinstance(error, Misconfigured) else 1


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
