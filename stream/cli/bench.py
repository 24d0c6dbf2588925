"""`bench`: what a worker takes on this machine and this Kafka, so that a cluster can be sized."""

import contextlib
import shlex
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from stream.cli.app import err, out, settings
from stream.cli.listing import Format
from stream.cli.load_view import Board, show_report
from stream.config import Settings
from stream.errors import Misconfigured
from stream.tools.load_test.order import Order, read_numbers, read_rates

if TYPE_CHECKING:
    from stream.tools.load_test.figures import Report
    from stream.tools.load_test.load_test import Bench

BLOB_WORDS_MAX = 1_000_000
DURATION_S = 10.0
BLOB_WORDS, RATES, LIVE_WORDS = "5,20,100,10000", "500,2000", 20
SHORT_BLOB_WORDS, SHORT_RATES = "20,1000", "200"
SHORT_WORDS, SHORT_S, SHORT_WARMUP_S = 100_000, 3.0, 1.0
WARMUP_S_MAX, WARMUP_SHARE = 5.0, 0.25
BROKER_MIB = 1_024
SHORT_SESSION = {
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
}


class Measure(StrEnum):
    """What can be measured."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    RECOVERY = "recovery"


Only = Annotated[list[Measure] | None, typer.Option(help="Measure this and nothing else. Repeatable.")]
Duration = Annotated[float, typer.Option(min=1, help="Seconds of each backlog and each rate.")]
Words = Annotated[int, typer.Option(min=0, help="Words of each backlog; 0: as many as take the duration.")]
Rates = Annotated[str, typer.Option(help="Blobs a second of the open loop; 50% is of the throughput.")]
BlobWords = Annotated[str, typer.Option(help="Sizes of blobs, in words, for the throughput.")]
LiveWords = Annotated[int, typer.Option(min=1, max=BLOB_WORDS_MAX, help="Words of a blob of the open loop.")]
Vocabulary = Annotated[
    int, typer.Option(min=0, help="So many of the dictionary's words occur, by Zipf's law; 0: all.")
]
Partitions = Annotated[int, typer.Option(min=1, max=1_000, help="Of the topics that it makes.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="How many workers are started.")]
WorkerArgs = Annotated[str, typer.Option(help="What each `worker` is given, as '--processes 2'.")]
Seed = Annotated[int, typer.Option(min=0, help="Draws the texts.")]
Attach = Annotated[
    bool, typer.Option("--attach", help="Only load and latency, on the settings' topics, whose workers run.")
]
Scale = Annotated[
    bool, typer.Option("--scale", help="Only cost per word, over sizes of blobs, partitions, dictionaries.")
]
Short = Annotated[bool, typer.Option("--short", help="Small where nothing else is said: under a minute.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the figures into this PNG.")]
Output = Annotated[Format, typer.Option("--format", help="What is printed.")]


def bench(  # noqa: PLR0913 - a command's options
    *,
    only: Only = None,
    duration: Duration = DURATION_S,
    words: Words = 0,
    rates: Rates = RATES,
    blob_words: BlobWords = BLOB_WORDS,
    live_words: LiveWords = LIVE_WORDS,
    vocabulary: Vocabulary = 0,
    partitions: Partitions = 4,
    workers: Workers = 1,
    worker_args: WorkerArgs = "",
    seed: Seed = 1,
    attach: Attach = False,
    scale: Scale = False,
    short: Short = False,
    plot: Plot = None,
    output: Output = Format.TABLE,
) -> None:
    """Measure throughput, latency, processor, memory and recovery of workers, and check all that comes out.

    Starts Apache Kafka, unless STREAM_BOOTSTRAP_SERVERS is set, and workers with the settings, on topics of
    its own, which are deleted at the end. Exit status 1 when the output was not right.
    """
    chosen = set(only or Measure)
    order = Order(
        throughput=Measure.THROUGHPUT in chosen,
        latency=Measure.LATENCY in chosen,
        recovery=Measure.RECOVERY in chosen,
        duration_s=duration,
        warmup_s=min(WARMUP_S_MAX, WARMUP_SHARE * duration),
        words=words,
        rates=read_rates(rates),
        blob_words=read_numbers("--blob-words", blob_words, BLOB_WORDS_MAX),
        live_words=live_words,
        vocabulary=vocabulary,
        partitions=partitions,
        seed=seed,
        workers=workers,
        worker_arguments=tuple(shlex.split(worker_args)),
    )
    modes = (("--attach", attach), ("--scale", scale), ("--only", only))
    what = [name for name, is_chosen in modes if is_chosen]
    if len(what) > 1:
        raise Misconfigured(f"{' and '.join(what)} exclude each other")
    _measure(_shortened(order) if short else order, what[0] if what else "", plot, output, short=short)


def _shortened(order: Order) -> Order:
    """Make what was left at its default small."""
    small = order
    if order.duration_s == DURATION_S:
        small = replace(small, duration_s=SHORT_S, warmup_s=SHORT_WARMUP_S)
    if not order.words:
        small = replace(small, words=SHORT_WORDS)
    if order.rates == read_rates(RATES):
        small = replace(small, rates=read_rates(SHORT_RATES))
    if order.blob_words == read_numbers("--blob-words", BLOB_WORDS, BLOB_WORDS_MAX):
        small = replace(small, blob_words=read_numbers("--blob-words", SHORT_BLOB_WORDS, BLOB_WORDS_MAX))
    return small


def _measure(order: Order, what: str, plot: Path | None, output: Format, *, short: bool) -> None:
    """Measure, show, and fail where the output was not right."""
    draw = None if plot is None else _drawing(plot)
    order.check_rates(attached=what == "--attach")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    folder = Path(tempfile.mkdtemp(prefix="anagram-stream-bench-"))
    try:
        with _broker(short=short, attached=what == "--attach") as settings, Board() as board:
            bench = _bench()(settings, order, folder, board.tell)
            report = {"--attach": bench.attach, "--scale": bench.scale}.get(what, bench.run)()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if output is Format.JSON:
        out.print(orjson.dumps(report.as_json()).decode(), markup=False)
    else:
        show_report(report)
    if draw is not None:
        draw(report)
        err.print(f"drawn: {plot}", markup=False)
    if not report.holds:
        raise typer.Exit(1)


@contextlib.contextmanager
def _broker(*, short: bool, attached: bool) -> Iterator[Settings]:
    """Yield settings for the broker that was named, or one of our own."""
    chosen = settings()
    if "bootstrap_servers" in chosen.model_fields_set or attached:
        yield chosen
        return
    from stream.broker.embedded import EmbeddedBroker  # noqa: PLC0415 - slow to load, and workers do without

    err.print("starting Apache Kafka …")
    properties = SHORT_SESSION if short else {}
    with EmbeddedBroker(java=chosen.java, heap_mib=BROKER_MIB, properties=properties) as broker:
        yield chosen.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})


def _bench() -> "type[Bench]":
    """Return what measures.

    Raises:
        Misconfigured: it is not installed.
    """
    try:
        from stream.tools.load_test.load_test import Bench  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise Misconfigured(f"bench needs {error.name}", "pip install 'anagram-stream[bench]'") from error
    return Bench


def _drawing(path: Path) -> "Callable[[Report], None]":
    """Return what draws, before anything is measured.

    Raises:
        Misconfigured: it is not installed, or could not write there.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise Misconfigured(f"--plot: cannot write {path}", "name a file in a folder that is there")
    try:
        from stream.tools.load_test.plot import draw  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        needed = "pip install 'anagram-stream[bench,plots]'"
        raise Misconfigured(f"--plot needs {error.name}", needed) from error
    return lambda report: draw(report, path)
