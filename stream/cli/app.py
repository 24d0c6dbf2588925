"""What the commands share: the application, the consoles, how settings and Kafka are reached."""

from typing import Any

from rich.console import Console

from stream.config import Settings, load_settings
from stream.errors import Misconfigured, StreamError
from stream.kafka import clients
from stream.kafka.reader import partitions_of
from stream.telemetry.logs import configure_logs
from stream.worker.startup import retry_while_unreachable

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def examples(*lines: str) -> str:
    """Return the part of a `--help` that shows how the command is used."""
    return "[bold]Examples[/bold]\n\n" + "\n\n".join(f"[cyan]{line}[/cyan]" for line in lines)


def settings(**overrides: Any) -> Settings:  # noqa: ANN401 - as wide as the settings are
    """Read the settings, and let log lines go where they say: clients have lines of their own."""
    chosen = load_settings(**overrides)
    configure_logs(chosen.log_format, debug="debug" in chosen.client_config)
    return chosen


def admin_client(chosen: Settings) -> clients.Admin:
    """Return an admin client for the chosen cluster."""
    return clients.make_admin(chosen)


def reachable_admin(chosen: Settings, topic: str) -> clients.Admin:
    """Return an admin client of a cluster that has answered, for readers, which would wait for it for ever.

    Raises:
        Refused: it stays away.
        Fatal: it has no such topic.
    """
    admin = admin_client(chosen)
    retry_while_unreachable(chosen, lambda: partitions_of(admin, topic))
    return admin


def complain(error: StreamError) -> None:
    """Say what is wrong and what fixes it."""
    err.print(f"[bold red]error:[/bold red] {_plain(str(error))}")
    hint = getattr(error, "hint", "")
    if hint:
        err.print(f"[bold]  fix:[/bold] {_plain(hint)}")


def exit_code(error: StreamError) -> int:
    """Return the exit status that an error means."""
    return 2 if isinstance(error, Misconfigured) else 1


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
