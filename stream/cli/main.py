"""The command line: dispatches, and turns errors into one clear message and an exit status."""

import os
import sys
from typing import Annotated

import typer

from stream import __version__
from stream.cli import broker, topics, worker
from stream.cli.app import complain, examples, exit_code
from stream.errors import StreamError

app = typer.Typer(
    name="anagram-stream",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Counts anagrams of text blobs on Kafka, exactly once.",
)
app.command(epilog=examples("anagram-stream worker", "STREAM_GROUP_PROTOCOL=classic anagram-stream worker"))(
    worker.worker
)
app.command(
    epilog=examples("anagram-stream broker", "anagram-stream broker --port 19092 --data ./kafka-data")
)(broker.broker)
app.add_typer(topics.app, name="topics")


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's way
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,  # noqa: FBT002
) -> None:
    """Hold what comes before a command."""


def main() -> None:
    """Run a command; exit 0, 1 for a fault or a difference found, 2 for wrong settings or usage."""
    try:
        app()
    except StreamError as error:
        complain(error)
        sys.exit(exit_code(error))
    except BrokenPipeError:  # `anagram-stream results | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
