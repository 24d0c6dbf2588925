"""`produce`: sends files, folders and standard input as text blobs."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from stream.cli.app import err, quantity, settings, watch_cluster
from stream.cli.terminal import terminated_as_interrupted
from stream.config import Settings
from stream.core.records import TextBlob
from stream.core.text import printable, why_not_utf8
from stream.errors import Misconfigured, Refused, Retriable, StreamError
from stream.kafka import topics
from stream.tools.blobs import Blob, BlobSource, BlobSplitting, find_sources, not_text, read_blobs
from stream.tools.kafka.committed import reachable_admin
from stream.tools.kafka.sender import RAISE_LIMIT, Sender
from stream.worker.startup import unreachable

_NAMED_MAX = 10  # undelivered blobs, or files that are not text, that are listed
_SHOW_S = 0.1  # between two updates of the progress bar
_STOP_S_MAX = 10.0  # time limit for queued records after Ctrl-C
_SPEED_SHOWN_PER_S = 10.0  # a lower speed is not shown
_JSON = (("content-type", b"application/json"),)

_Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="Files and folders; `-` or no path is standard input. Hidden files in folders are skipped.",
        show_default=False,
    ),
]
_Json = Annotated[
    bool | None,
    typer.Option(
        "--json/--no-json",
        help="Send JSON envelopes with a content-type header, or plain text. By default STREAM_INPUT_FORMAT.",
        show_default=False,
    ),
]


def produce(  # noqa: PLR0913, PLR0917 - one for each option
    paths: _Paths = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Send each file as one blob instead of each line.")
    ] = False,
    key: Annotated[
        bool,
        typer.Option(
            "--key/--no-key", help="Give each record a key, which becomes the blob id in its result."
        ),
    ] = True,
    id_prefix: Annotated[
        str, typer.Option("--id-prefix", help="Prefix of each key.", show_default=False)
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option("--rate", help="Blobs per second; by default as fast as possible.", show_default=False),
    ] = None,
    json: _Json = None,
) -> None:
    """Send text blobs to the input topic.

    Each line is a blob; blank lines are skipped. With --whole, each file is a blob, even an empty file.

    The key of a line is `file name:line number`; the key of a whole file is its name.

    In a folder, names are paths relative to the folder: `sub/a.txt:1`.

    Blobs from standard input have keys only with --id-prefix: the prefix and the line number.

    Texts are sent unchanged. A text that is not UTF-8 becomes a dead letter.
    """
    if rate is not None and not rate > 0:
        raise Misconfigured("--rate must be above 0", "give a rate above 0, or omit --rate")
    _check_prefix(id_prefix, keyed=key)
    chosen = settings()
    watch_cluster(chosen)
    sources = _find_sources(paths or [])
    sender = _open_sender(chosen)
    splitting = BlobSplitting(whole, sender.record_bytes_max, key, id_prefix)
    is_typed = sys.stdin.isatty() and any(source.path is None for source in sources)
    if is_typed:
        err.print("reading standard input; press Ctrl-D to end it")
    delivery = _Delivery(sender, sum(source.size_bytes for source in sources), silent=is_typed)
    as_json = chosen.input_format == "json" if json is None else json
    try:
        with terminated_as_interrupted():
            delivery.send(read_blobs(sources, splitting), rate, as_json=as_json)
    except Retriable as why:
        raise unreachable(chosen, why) from why


def _check_prefix(prefix: str, *, keyed: bool) -> None:
    if prefix and not keyed:
        raise Misconfigured("--id-prefix and --no-key cannot be combined", "omit one of them")
    if prefix != prefix.encode(errors="ignore").decode():  # the shell passed other bytes
        raise Misconfigured("--id-prefix is not UTF-8", "give a prefix in UTF-8")


class _Delivery:
    """Sends blobs, shows the progress and prints a summary."""

    def __init__(self, sender: Sender, bytes_all: int, *, silent: bool) -> None:
        self._sender = sender
        self._undelivered = 0
        self._hint = ""
        self._read_bytes = 0
        self._shown_at = 0.0
        self._progress = _progress(known=bytes_all > 0, silent=silent)
        self._task = self._progress.add_task("", total=bytes_all or None, delivered=0)

    def send(self, blobs: Iterator[Blob], rate: float | None, *, as_json: bool) -> None:
        """Send all blobs and print how many were delivered.

        Raises:
            Refused: not all blobs were delivered.
            StreamError: sending failed.
        """
        began = monotonic()
        try:
            with self._progress:
                self._send_all(blobs, rate, as_json=as_json)
        except KeyboardInterrupt:
            self._summarize(began)
            raise typer.Exit(130) from None
        except StreamError:
            self._summarize(began)
            raise
        self._summarize(began)
        if self._undelivered:
            total = self._undelivered + self._sender.delivered
            raise Refused(f"{self._undelivered:,} of {quantity(total, 'blob')} not delivered", self._hint)

    def _send_all(self, blobs: Iterator[Blob], rate: float | None, *, as_json: bool) -> None:
        began = monotonic()
        try:
            for number, blob in enumerate(blobs):
                if rate is not None:
                    self._sender.wait_until(began + number / rate)
                self._send(blob, as_json=as_json)
                self._show_progress()
            while not self._sender.flush():  # terminates: each record has a time limit
                self._show_progress()
        except KeyboardInterrupt:
            deadline = monotonic() + _STOP_S_MAX
            while not self._sender.flush() and monotonic() < deadline:
                self._show_progress()
            raise
        finally:
            self._sender.discard()
            self._name_undelivered()

    def _send(self, blob: Blob, *, as_json: bool) -> None:
        self._read_bytes += blob.read_bytes
        if blob.problem:
            self._count_undelivered(blob.origin, blob.problem)
            if len(blob.text) > self._sender.record_bytes_max:
                self._hint = RAISE_LIMIT
        elif not as_json:
            self._sender.send(blob.origin, blob.key, blob.text, ())
        else:
            try:
                envelope = TextBlob(id=blob.key, text=blob.text.decode())
            except UnicodeDecodeError as error:
                why = f"{why_not_utf8(blob.text, error.start)}; JSON requires UTF-8"
                self._count_undelivered(blob.origin, why)
            else:
                value = envelope.model_dump_json(exclude_none=True).encode()
                self._sender.send(blob.origin, blob.key, value, _JSON)

    def _show_progress(self) -> None:
        if monotonic() - self._shown_at < _SHOW_S:
            return
        self._name_undelivered()
        self._progress.update(self._task, completed=self._read_bytes, delivered=self._sender.delivered)
        self._shown_at = monotonic()

    def _name_undelivered(self) -> None:
        for record in self._sender.take_undelivered():
            self._count_undelivered(record.origin, record.why)
            self._hint = record.hint or self._hint

    def _count_undelivered(self, origin: str, why: str) -> None:
        self._undelivered += 1
        if self._undelivered <= _NAMED_MAX:
            err.print(f"[yellow]not delivered:[/yellow] {escape(printable(origin))}: {escape(why)}")

    def _summarize(self, began: float) -> None:
        seconds = max(monotonic() - began, 0.001)
        delivered, size = self._sender.delivered, decimal(self._sender.delivered_bytes)
        unnamed = self._undelivered - _NAMED_MAX
        if unnamed > 0:
            err.print(f"[yellow]not delivered:[/yellow] {unnamed:,} more")
        failed = f", {self._undelivered:,} not delivered" if self._undelivered else ""
        per_s = delivered / seconds
        speed = f", {per_s:,.0f} per second" if per_s >= _SPEED_SHOWN_PER_S else ""
        err.print(f"{quantity(delivered, 'blob')} delivered ({size}){failed} in {seconds:.1f} s{speed}")


def _find_sources(paths: Sequence[Path]) -> list[BlobSource]:
    """Return the files to send; warn about those that are not text.

    Raises:
        Misconfigured: a path is missing or not readable, or a folder has no files.
    """
    sources = find_sources(paths)
    names = list(not_text(sources))
    for name in names[:_NAMED_MAX]:
        err.print(
            f"[yellow]warning:[/yellow] {escape(printable(name))} is not UTF-8 text: a blob that cannot "
            "be decoded becomes a dead letter"
        )
    if len(names) > _NAMED_MAX:
        more = len(names) - _NAMED_MAX
        files = "1 more file is" if more == 1 else f"{more:,} more files are"
        err.print(f"[yellow]warning:[/yellow] {files} not UTF-8 text")
    return sources


def _progress(*, known: bool, silent: bool) -> Progress:
    count = TextColumn("{task.fields[delivered]:,} blobs delivered")
    amount = DownloadColumn() if known else TextColumn("")
    columns = (count, BarColumn(), amount, TimeRemainingColumn()) if known else (count,)
    return Progress(*columns, console=err, transient=True, disable=silent or not err.is_terminal)


def _open_sender(chosen: Settings) -> Sender:
    """Return a sender to the input topic.

    Raises:
        Refused: the broker is unavailable or denies access.
        Fatal: the topic is missing.
    """
    admin = reachable_admin(chosen, chosen.input_topic)
    try:
        facts = topics.describe(admin, chosen).get("input")
    except (Refused, Retriable):
        facts = None  # a client that may write may lack the right to read the configuration
    return Sender(chosen, facts.record_bytes_max if facts else None)
