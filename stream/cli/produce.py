"""`produce`: files, folders and standard input, sent as text blobs."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stream.cli.app import err, reach, reachable_admin, settings
from stream.cli.blobs import Blob, Cut, blobs, sources
from stream.cli.sender import Sender, Undelivered
from stream.config import Settings
from stream.core.records import Header, TextBlob
from stream.errors import Fatal, Misconfigured, Refused, Retriable
from stream.kafka import topics
from stream.kafka.reader import partitions_of
from stream.run.wire import unreachable

_SAID_MAX = 10  # undelivered blobs that are named
_SHOW_S = 0.1  # between two moves of the progress bar
_JSON: list[Header] = [("content-type", b"application/json")]


def produce(  # noqa: PLR0913, PLR0917 - one for each option
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Files and folders; `-` or none is standard input. Hidden files within folders are left out.",
            show_default=False,
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="A file is a blob; otherwise each line is one.")] = False,
    key: Annotated[
        bool,
        typer.Option("--key/--no-key", help="Give records a key, which is the blob's id in its result."),
    ] = True,
    id_prefix: Annotated[
        str, typer.Option("--id-prefix", help="Put it before each key.", show_default=False)
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option("--rate", help="Blobs per second, steadily; by default as fast as possible.", show_default=False),
    ] = None,
    json: Annotated[
        bool | None,
        typer.Option(
            "--json/--no-json",
            help="Send the JSON envelope with its content-type; by default as STREAM_INPUT_FORMAT says.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Send text blobs to the input topic.

    Each line is a blob; blank lines are skipped. With --whole each file is one, even an empty one.

    The key of a line is `file name:line number`, of a whole file its name; names of files in a folder
    that was given begin within that folder. Standard input has keys only with --id-prefix, which the
    line number follows. Texts go as they are: what is not UTF-8 ends among the dead letters.
    """
    if rate is not None and not rate > 0:
        raise Misconfigured("--rate must be above 0")
    if id_prefix and not key:
        raise Misconfigured("--id-prefix and --no-key exclude each other")
    chosen = settings()
    files = sources(paths or [])
    sender = _open_sender(chosen)
    how = Cut(whole, sender.record_bytes_max, key, id_prefix)
    as_json = chosen.input_format == "json" if json is None else json
    if sys.stdin.isatty() and any(file.path is None for file in files):
        err.print("reading standard input, a blob per line; Ctrl-D ends it")
    with _Run(chosen, sender, sum(file.size_bytes for file in files)) as run:
        run.send(blobs(files, how), rate, as_json=as_json)


class _Run:
    """One run: what is sent, seen while it goes and summed up at its end."""

    def __init__(self, chosen: Settings, sender: Sender, bytes_all: int) -> None:
        self._chosen = chosen
        self._sender = sender
        self._undelivered = 0
        self._mend = ""
        self._read_bytes = 0
        self._shown_at = 0.0
        self._progress = _progress(known=bytes_all > 0)
        self._task = self._progress.add_task("", total=bytes_all or None)

    def __enter__(self) -> Self:
        self._began = monotonic()
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Say what became of all blobs.

        Raises:
            Fatal: not all were delivered.
        """
        self._undelivered += self._sender.drop()
        self._name_undelivered()
        self._progress.stop()
        took_s = monotonic() - self._began
        sender = self._sender
        per_s = f", {sender.delivered / took_s:,.0f} a second" if sender.delivered else ""
        blobs_ = "blob" if sender.delivered == 1 else "blobs"
        err.print(
            f"{sender.delivered:,} {blobs_} delivered, {decimal(sender.delivered_bytes)} in {took_s:.1f} s{per_s}"
        )
        if error is None and self._undelivered:
            raise Refused(f"{self._undelivered:,} not delivered", self._mend)

    def send(self, found: Iterator[Blob], rate: float | None, *, as_json: bool) -> None: ...
