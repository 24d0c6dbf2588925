"""`produce`: files, folders and standard input, sent as text blobs."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from stream.cli.app import err, reachable_admin, settings
from stream.cli.blobs import Blob, Cut, blobs, sources
from stream.cli.listing import printable
from stream.config import Settings
from stream.core.records import TextBlob
from stream.errors import Misconfigured, Refused, Retriable, StreamError
from stream.kafka import topics
from stream.kafka.reader import partitions_of
from stream.tools.kafka.sender import RAISE_LIMIT, Sender
from stream.worker.startup import retry_while_unreachable, unreachable

_SAID_MAX = 10  # undelivered blobs that are named
_SHOW_S = 0.1  # between two moves of the progress bar
_STOP_S_MAX = 10.0  # how long after Ctrl-C what is queued may take
_FAST_PER_S = 10.0  # below that nobody asks for the speed
_JSON = (("content-type", b"application/json"),)

_Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="Files and folders; `-` or none is standard input. Hidden files in folders are left out.",
        show_default=False,
    ),
]
_Json = Annotated[
    bool | None,
    typer.Option(
        "--json/--no-json",
        help="Send the JSON envelope with its content-type; by default as STREAM_INPUT_FORMAT says.",
        show_default=False,
    ),
]


def produce(  # noqa: PLR0913, PLR0917 - one for each option
    paths: _Paths = None,
    whole: Annotated[bool, typer.Option("--whole", help="A file is a blob; otherwise each line is.")] = False,
    key: Annotated[
        bool, typer.Option("--key/--no-key", help="Give records a key, the blob's id in its result.")
    ] = True,
    id_prefix: Annotated[
        str, typer.Option("--id-prefix", help="Put it before each key.", show_default=False)
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option("--rate", help="Blobs a second; by default as fast as it goes.", show_default=False),
    ] = None,
    json: _Json = None,
) -> None:
    """Send text blobs to the input topic.

    Each line is a blob, blank lines are skipped. With --whole each file is one, even an empty file.

    The key of a line is `file name:line number`, of a whole file its name.

    In a folder that was given, names are paths from there: `sub/a.txt:1`.

    Standard input has no keys but with --id-prefix, which line numbers follow.

    Texts are sent as they are; one that is not UTF-8 ends among the dead letters.
    """
    if rate is not None and not rate > 0:
        raise Misconfigured("--rate must be above 0")
    if id_prefix and not key:
        raise Misconfigured("--id-prefix and --no-key exclude each other")
    chosen = settings()
    files = sources(paths or [])
    sender = _open_sender(chosen)
    how = Cut(whole, sender.record_bytes_max, key, id_prefix)
    typed = sys.stdin.isatty() and any(file.path is None for file in files)
    if typed:
        err.print("reading standard input; Ctrl-D ends it")
    run = _Run(sender, sum(file.size_bytes for file in files), silent=typed)
    try:
        with _terminated_as_interrupted():
            run.send(blobs(files, how), rate, as_json=chosen.input_format == "json" if json is None else json)
    except Retriable as why:
        raise unreachable(chosen, why) from why


class _Run:
    """What is sent: seen while it goes, summed up at its end."""

    def __init__(self, sender: Sender, bytes_all: int, *, silent: bool) -> None:
        self._sender = sender
        self._undelivered = 0
        self._hint = ""
        self._read_bytes = 0
        self._shown_at = 0.0
        self._progress = _progress(known=bytes_all > 0, silent=silent)
        self._task = self._progress.add_task("", total=bytes_all or None, delivered=0)

    def send(self, found: Iterator[Blob], rate: float | None, *, as_json: bool) -> None:
        """Send all, and say what became of them.

        Raises:
            Refused: not all were delivered.
            StreamError: sending could not go on.
        """
        began = monotonic()
        try:
            with self._progress:
                self._send_all(found, rate, as_json=as_json)
        except KeyboardInterrupt:
            self._sum_up(began)
            raise typer.Exit(130) from None
        except StreamError:
            self._sum_up(began)
            raise
        self._sum_up(began)
        if self._undelivered:
            whole = self._undelivered + self._sender.delivered
            raise Refused(f"{self._undelivered:,} of {whole:,} blobs not delivered", self._hint)

    def _send_all(self, found: Iterator[Blob], rate: float | None, *, as_json: bool) -> None:
        began = monotonic()
        try:
            for number, blob in enumerate(found):
                if rate is not None:
                    self._sender.wait_until(began + number / rate)
                self._send(blob, as_json=as_json)
                self._show()
            while not self._sender.flush():  # ends: each record has its time limit
                self._show()
        except KeyboardInterrupt:
            deadline = monotonic() + _STOP_S_MAX
            while not self._sender.flush() and monotonic() < deadline:
                self._show()
            raise
        finally:
            self._sender.discard()
            self._name_undelivered()

    def _send(self, blob: Blob, *, as_json: bool) -> None:
        self._read_bytes += blob.read_bytes
        if blob.problem:
            self._count_undelivered(blob.where, blob.problem)
            if len(blob.text) > self._sender.record_bytes_max:
                self._hint = RAISE_LIMIT
        elif not as_json:
            self._sender.send(blob.where, blob.key, blob.text, ())
        else:
            try:
                envelope = TextBlob(id=blob.key, text=blob.text.decode())
            except UnicodeDecodeError:
                self._count_undelivered(blob.where, "not UTF-8, which JSON must be")
            else:
                value = envelope.model_dump_json(exclude_none=True).encode()
                self._sender.send(blob.where, blob.key, value, _JSON)

    def _show(self) -> None:
        if monotonic() - self._shown_at < _SHOW_S:
            return
        self._name_undelivered()
        self._progress.update(self._task, completed=self._read_bytes, delivered=self._sender.delivered)
        self._shown_at = monotonic()

    def _name_undelivered(self) -> None:
        for record in self._sender.take_undelivered():
            self._count_undelivered(record.origin, record.why)
            self._hint = record.hint or self._hint

    def _count_undelivered(self, where: str, why: str) -> None:
        self._undelivered += 1
        if self._undelivered <= _SAID_MAX:
            err.print(f"[yellow]not delivered:[/yellow] {escape(printable(where))}: {escape(why)}")

    def _sum_up(self, began: float) -> None:
        took_s = max(monotonic() - began, 0.001)
        delivered, size = self._sender.delivered, decimal(self._sender.delivered_bytes)
        unnamed = self._undelivered - _SAID_MAX
        if unnamed > 0:
            err.print(f"[yellow]not delivered:[/yellow] {unnamed:,} more")
        failed = f", {self._undelivered:,} not" if self._undelivered else ""
        per_s = delivered / took_s
        speed = f", {per_s:,.0f} a second" if per_s >= _FAST_PER_S else ""
        noun = "blob" if delivered == 1 else "blobs"
        err.print(f"{delivered:,} {noun} delivered ({size}){failed} in {took_s:.1f} s{speed}")


def _progress(*, known: bool, silent: bool) -> Progress:
    count = TextColumn("{task.fields[delivered]:,} blobs delivered")
    amount = DownloadColumn() if known else TextColumn("")
    columns = (count, BarColumn(), amount, TimeRemainingColumn()) if known else (count,)
    return Progress(*columns, console=err, transient=True, disable=silent or not err.is_terminal)


def _open_sender(chosen: Settings) -> Sender:
    """Return a sender to the input topic.

    Raises:
        Refused: the broker is away, or gives no access.
        Fatal: the topic is missing.
    """
    admin = reachable_admin(chosen, chosen.input_topic)
    retry_while_unreachable(chosen, lambda: partitions_of(admin, chosen.input_topic))
    try:
        found = topics.describe(admin, chosen).get("input")
    except (Refused, Retriable):
        found = None  # who may write may not always ask for a topic's configuration
    return Sender(chosen, found.record_bytes_max if found else None)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C: what is queued is still sent."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
