"""`bench`: load test of workers on this machine and a Kafka broker, to size a cluster."""

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
from stream.cli.bench_view import ProgressBar, show_report
from stream.cli.listing import Format
from stream.config import Settings
from stream.errors import Misconfigured
from stream.tools.load_test.options import LoadTestOptions, parse_numbers, parse_rates
from stream.tools.load_test.report_json import as_json

if TYPE_CHECKING:
    from stream.tools.load_test.figures import Report
    from stream.tools.load_test.run import LoadTest
    from stream.tools.load_test.slow_network import SlowNetwork

BLOB_WORDS_MAX = 1_000_000
DURATION_S = 10.0
BLOB_WORDS, RATES, LIVE_WORDS, DELAYS = "5,20,100,10000", "500,2000", 20, "0,5,20,80"
DELAY_MS_MAX, SHORT_DELAYS = 200, "0,20"
SHORT_BLOB_WORDS, SHORT_RATES = "20,1000", "200"
SHORT_WORDS, SHORT_S, SHORT_WARMUP_S = 100_000, 3.0, 1.0
WARMUP_S_MAX, WARMUP_SHARE = 5.0, 0.25
BROKER_MIB = 1_024
SLOW = "SLOW"  # the listener of the broker for workers in a slow network
SHORT_SESSION = {
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
}


class Measure(StrEnum):
    THROUGHPUT = "throughput"
    LATENCY = "latency"
    DELAY = "delay"
    RECOVERY = "recovery"


Only = Annotated[list[Measure] | None, typer.Option(help="Only measure this. Repeatable.")]
Duration = Annotated[float, typer.Option(min=1, help="Duration of each backlog and each rate, in seconds.")]
Words = Annotated[int, typer.Option(min=0, help="Words in each backlog; 0: enough for the duration.")]
Rates = Annotated[
    str, typer.Option(help="Rates for measuring latency, in blobs/s; 50% is half the measured throughput.")
]
Delays = Annotated[str, typer.Option(help="Delays of the broker's responses to the workers, in ms.")]
BlobWords = Annotated[str, typer.Option(help="Blob sizes for measuring throughput, in words.")]
LiveWords = Annotated[
    int, typer.Option(min=1, max=BLOB_WORDS_MAX, help="Blob size for measuring latency, in words.")
]
Vocabulary = Annotated[
    int, typer.Option(min=0, help="Number of dictionary words in the texts, by Zipf's law; 0: all.")
]
Partitions = Annotated[int, typer.Option(min=1, max=1_000, help="Partitions of the topics.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Number of workers to start.")]
WorkerArgs = Annotated[str, typer.Option(help="Arguments for each `worker`, such as '--processes 2'.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed for the texts.")]
Attach = Annotated[
    bool,
    typer.Option(
        "--attach", help="Only measure latency, with the topics of the settings and workers that already run."
    ),
]
Scale = Annotated[
    bool,
    typer.Option(
        "--scale",
        help="Only measure the cost per word, for several blob sizes, partition counts and dictionaries.",
    ),
]
Short = Annotated[bool, typer.Option("--short", help="Use small defaults; takes less than a minute.")]
Plot = Annotated[Path | None, typer.Option(help="Also plot the figures to this PNG file.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="Output format.")]


def bench(  # noqa: PLR0913 - a command's options
    *,
    only: Only = None,
    duration: Duration = DURATION_S,
    words: Words = 0,
    rates: Rates = RATES,
    delays: Delays = DELAYS,
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
    output_format: OutputFormat = Format.TABLE,
) -> None:
    """Measure throughput, latency, CPU time, memory and recovery of workers, and check their output.

    Starts Apache Kafka unless STREAM_BOOTSTRAP_SERVERS is set. Starts workers with these settings on its own
    topics, and deletes the topics at the end. Exit status 1 if the output of the workers was wrong.
    """
    chosen = set(only or Measure)
    options = LoadTestOptions(
        throughput=Measure.THROUGHPUT in chosen,
        latency=Measure.LATENCY in chosen,
        delay=Measure.DELAY in chosen,
        recovery=Measure.RECOVERY in chosen,
        duration_s=duration,
        warmup_s=min(WARMUP_S_MAX, WARMUP_SHARE * duration),
        words=words,
        rates=parse_rates(rates),
        delays_ms=parse_numbers("--delays", delays, DELAY_MS_MAX, least=0),
        blob_words=parse_numbers("--blob-words", blob_words, BLOB_WORDS_MAX),
        live_words=live_words,
        vocabulary=vocabulary,
        partitions=partitions,
        seed=seed,
        workers=workers,
        worker_arguments=tuple(shlex.split(worker_args)),
    )
    modes = (("--attach", attach), ("--scale", scale), ("--only", only))
    chosen_modes = [name for name, is_chosen in modes if is_chosen]
    if len(chosen_modes) > 1:
        raise Misconfigured(f"{' and '.join(chosen_modes)} cannot be combined")
    mode = chosen_modes[0] if chosen_modes else ""
    _run(_shortened(options) if short else options, mode, plot, output_format, short=short)


def _shortened(options: LoadTestOptions) -> LoadTestOptions:
    """Replace the defaults with small values."""
    small = options
    if options.duration_s == DURATION_S:
        small = replace(small, duration_s=SHORT_S, warmup_s=SHORT_WARMUP_S)
    if not options.words:
        small = replace(small, words=SHORT_WORDS)
    if options.rates == parse_rates(RATES):
        small = replace(small, rates=parse_rates(SHORT_RATES))
    if options.delays_ms == parse_numbers("--delays", DELAYS, DELAY_MS_MAX, least=0):
        delays = parse_numbers("--delays", SHORT_DELAYS, DELAY_MS_MAX, least=0)
        small = replace(small, delays_ms=delays)
    if options.blob_words == parse_numbers("--blob-words", BLOB_WORDS, BLOB_WORDS_MAX):
        small = replace(small, blob_words=parse_numbers("--blob-words", SHORT_BLOB_WORDS, BLOB_WORDS_MAX))
    return small


def _run(
    options: LoadTestOptions, mode: str, plot: Path | None, output_format: Format, *, short: bool
) -> None:
    """Measure, print the report, and exit with status 1 if the output of the workers was wrong."""
    draw = None if plot is None else _make_draw(plot)
    options.check_rates(attached=mode == "--attach")
    load_test_class = _load_test_class()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: stops all processes
    folder = Path(tempfile.mkdtemp(prefix="anagram-stream-bench-"))
    try:
        with_network = options.delay and mode in ("", "--only")
        is_attached = mode == "--attach"
        with (
            _broker(
                short=short, attached=is_attached, with_network=with_network, is_asked=mode == "--only"
            ) as (settings, network),
            ProgressBar() as progress,
        ):
            load_test = load_test_class(settings, options, folder, progress.update, network)
            report = {"--attach": load_test.attach, "--scale": load_test.scale}.get(mode, load_test.run)()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if output_format is Format.JSON:
        out.print(orjson.dumps(as_json(report)).decode(), markup=False)
    else:
        show_report(report)
    if draw is not None:
        draw(report)
        err.print(f"plot written to {plot}", markup=False)
    if not report.holds:
        raise typer.Exit(1)


@contextlib.contextmanager
def _broker(
    *, short: bool, attached: bool, with_network: bool, is_asked: bool
) -> Iterator[tuple[Settings, "SlowNetwork | None"]]:
    """Yield settings for the configured broker, or for an embedded one with a slow network in front of it.

    Raises:
        Misconfigured: the slow network is requested, but the broker is not embedded.
    """
    chosen = settings()
    if "bootstrap_servers" in chosen.model_fields_set or attached:
        if with_network:
            why = "delays need a broker that bench starts"
            if is_asked:
                raise Misconfigured(f"--only delay: {why}", "unset STREAM_BOOTSTRAP_SERVERS")
            err.print(f"latency in a slow network is not measured: {why}")
        yield chosen, None
        return
    from stream.broker.embedded import EmbeddedBroker  # noqa: PLC0415 - slow to import
    from stream.tools.load_test.slow_network import SlowNetwork  # noqa: PLC0415

    err.print("starting Apache Kafka …")
    with SlowNetwork() as network:
        broker = EmbeddedBroker(
            java=chosen.java,
            heap_mib=BROKER_MIB,
            properties=SHORT_SESSION if short else {},
            listeners={SLOW: "PLAINTEXT"},
            advertised={SLOW: network.port},
        )
        with broker:
            network.start(broker.bound(SLOW))
            started = chosen.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
            yield started, network if with_network else None


def _load_test_class() -> "type[LoadTest]":
    """Import the load test.

    Raises:
        Misconfigured: an optional dependency is not installed.
    """
    try:
        from stream.tools.load_test.run import LoadTest  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as error:
        raise Misconfigured(f"bench needs {error.name}", "pip install 'anagram-stream[bench]'") from error
    return LoadTest


def _make_draw(path: Path) -> "Callable[[Report], None]":
    """Return the function that draws, before anything is measured.

    Raises:
        Misconfigured: matplotlib is not installed, or the file cannot be written.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise Misconfigured(f"--plot: cannot write {path}", "give a file in an existing folder")
    try:
        from stream.tools.load_test.plot import draw  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as error:
        needed = "pip install 'anagram-stream[bench,plots]'"
        raise Misconfigured(f"--plot needs {error.name}", needed) from error
    return lambda report: draw(report, path)
