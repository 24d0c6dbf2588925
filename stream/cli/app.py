"""What the commands share: the consoles, the settings and error output."""

import inspect
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import typer
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


def unwrap_help(*apps: typer.Typer) -> None:
    """Join the lines of each paragraph of the help texts: typer does so only for the first one."""
    for command in (command for each in apps for command in each.registered_commands):
        text = inspect.getdoc(command.callback) or ""
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", text)


def settings(**overrides: Any) -> Settings:  # noqa: ANN401 - as the settings
    """Return the settings, and configure logging accordingly: Kafka clients write log lines, too."""
    chosen = load_settings(**overrides)
    configure_logs(chosen.log_format, debug="debug" in chosen.client_config, in_colour=_has_colors())
    _have_temporary_folder(chosen.state_dir)
    return chosen


def _has_colors() -> bool:
    """Return whether log lines may have colors: rich handles NO_COLOR and terminals without colors."""
    return err.color_system is not None and not err.no_color


def _have_temporary_folder(state_dir: Path) -> None:
    """Use the state folder for temporary files if no other folder is writable (a read-only root)."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        with suppress(OSError):  # the command that needs the state folder reports it
            state_dir.mkdir(parents=True, exist_ok=True)
            tempfile.tempdir = str(state_dir)


def report_service_links() -> None:
    """Log which variables of Kubernetes are ignored, in one line per command."""
    if names := ignored_variables():
        with suppress(Misconfigured):  # the command reports it
            configure_logs(load_settings().log_format, in_colour=_has_colors())
            structlog.get_logger().info(
                "Kubernetes service links ignored",
                variables=names,
                fix="to get rid of them, set enableServiceLinks: false in the pod",
            )


def admin_client(chosen: Settings) -> clients.Admin:
    return clients.make_admin(chosen)


def say(sentence: str) -> None:
    """Print a sentence on standard error."""
    err.print(_plain(sentence))


def watch_cluster(chosen: Settings, *topics: str, say: Callable[[str], None] = say) -> ClusterWatch:
    """Report on standard error, until the command exits, when the broker is unavailable and when it is back.

    With `topics`, the watch also detects that another cluster responds, or that a topic was created again.
    """
    return ClusterWatch(chosen, topics, say)


def quantity(number: int, noun: str) -> str:
    """Return `1 blob`, `2 blobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def watch_reading(chosen: Settings, topic: str, *, follow: bool) -> ClusterWatch:
    """Watch the cluster while a command reads a topic; with `follow`, also detect a replaced topic."""
    if follow and err.is_terminal:
        err.print("following the topic; press Ctrl-C to stop")  # there may be no output for a while
    return watch_cluster(chosen, *([topic] if follow else []))


def warn(sentence: str) -> None:
    err.print(f"[yellow]warning:[/yellow] {_plain(sentence)}")


def report_error(error: StreamError) -> None:
    """Print what happened and how to fix it."""
    err.print(f"[bold red]error:[/bold red] {_plain(str(error))}")
    hint = getattr(error, "hint", "")
    if hint:
        err.print(f"[bold]  fix:[/bold] {_plain(hint)}")


def exit_code(error: StreamError) -> int:
    return 2 if isinstance(error, Misconfigured) else 1


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
