"""The command line: runs a command and turns an error into a clear message and an exit status."""

import sys
from contextlib import suppress
from typing import Annotated

import typer

from stream import __version__
from stream.cli import (
    bench,
    benchmark,
    broker,
    chaos,
    compare,
    dead_letters,
    demo,
    doctor,
    health,
    lag,
    offsets,
    pipeline,
    produce,
    rebuild,
    results,
    schemas,
    serve,
    simulate,
    start_over,
    top,
    topics,
    totals,
    verify,
    worker,
)
from stream.cli import settings as settings_command
from stream.cli.app import examples, exit_code, report_error, report_service_links, unwrap_help
from stream.cli.terminal import discard_output, prepare_standard_files, write_failure
from stream.errors import StreamError

app = typer.Typer(
    name="anagram-stream",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Count the anagrams in text blobs on Kafka, exactly once.",
)
app.command(
    epilog=examples(
        "anagram-stream demo", "anagram-stream demo --file my-text.txt", "anagram-stream demo --keep"
    )
)(demo.demo)
app.command(
    epilog=examples(
        "anagram-stream worker",
        "anagram-stream worker --processes 4",
        "STREAM_GROUP_PROTOCOL=classic anagram-stream worker",
    )
)(worker.worker)
app.command(
    epilog=examples(
        "anagram-stream broker",
        "anagram-stream broker --port 19092 --data ./kafka-data",
        "anagram-stream broker --nodes 3 --data ./cluster-data",
    )
)(broker.broker)
app.add_typer(topics.app, name="topics")
app.command(
    epilog=examples(
        "anagram-stream produce texts.txt",
        "anagram-stream produce --whole --rate 50 ./articles",
        "tail -f app.log | anagram-stream produce --id-prefix log-",
    )
)(produce.produce)
app.command(
    epilog=examples(
        "anagram-stream results",
        "anagram-stream results --follow --from-end",
        "anagram-stream results --format json | jq .anagram_counts",
    )
)(results.results)
app.command(
    epilog=examples(
        "anagram-stream totals --top 10",
        "anagram-stream totals listen granite",
        "anagram-stream totals --top 0 --format json",
    )
)(totals.totals)
app.add_typer(dead_letters.app, name="dead-letters")
app.command(
    epilog=examples(
        "anagram-stream lag", "anagram-stream lag --follow", "anagram-stream lag --format json | jq .lag"
    )
)(lag.lag)
app.command(
    epilog=examples(
        "anagram-stream top", "anagram-stream top --worker http://localhost:8080", "anagram-stream top --once"
    )
)(top.top)
app.add_typer(offsets.app, name="offsets")
app.command(epilog=examples("anagram-stream doctor", "anagram-stream doctor --format json | jq .findings"))(
    doctor.doctor
)
app.command(epilog=examples("anagram-stream health", "docker exec CONTAINER anagram-stream health"))(
    health.health
)
app.command(
    epilog=examples(
        "anagram-stream serve",
        "STREAM_SERVE_SUBMIT=true anagram-stream serve --port 8000",
        "anagram-stream serve --host 0.0.0.0 --worker http://localhost:8080",
    )
)(serve.serve)
app.command(
    epilog=examples(
        "anagram-stream schemas", "anagram-stream schemas --write", "anagram-stream schemas --check"
    )
)(schemas.schemas)
app.command(
    epilog=examples(
        "anagram-stream settings",
        "anagram-stream settings --current",
        "anagram-stream settings --write",
    )
)(settings_command.settings)


app.command(
    epilog=examples(
        "anagram-stream verify",
        "anagram-stream verify --state-dir ./state --format json",
        "anagram-stream verify --follow --interval 60",
    )
)(verify.verify)
app.command(
    epilog=examples(
        "anagram-stream rebuild --into ./rebuilt",
        "anagram-stream rebuild --at 2026-01-31T18:00 --into ./rebuilt",
        "anagram-stream rebuild --at 0:1200,1:1300 --into ./rebuilt",
    )
)(rebuild.rebuild)
app.command(
    epilog=examples(
        "anagram-stream diff now live",
        "anagram-stream diff ./rebuilt live --top 0",
        "anagram-stream diff 2h live --format json",
    )
)(rebuild.diff)
app.command(
    epilog=examples(
        "anagram-stream start-over --suffix v2 --dictionary words.txt",
        "anagram-stream start-over --suffix 2026-02 --processes 4 --keep",
    )
)(start_over.start_over)
app.command(
    epilog=examples(
        "anagram-stream simulate",
        "anagram-stream simulate --seeds 100000",
        "anagram-stream simulate --seed 7",
    )
)(simulate.simulate)
app.command(
    epilog=examples(
        "anagram-stream chaos",
        "anagram-stream chaos --words 10000000 --faults 110 --protocol classic --seed 1",
        "anagram-stream chaos --plan kafka --format json",
    )
)(chaos.chaos)
app.command(
    epilog=examples(
        "anagram-stream bench",
        "anagram-stream bench --rates 500,2000,50% --duration 30 --plot bench.png",
        "anagram-stream bench --scale --format json",
        "STREAM_BOOTSTRAP_SERVERS=kafka:9092 anagram-stream bench --attach --rates 1000",
    )
)(bench.bench)
app.command(
    epilog=examples(
        "anagram-stream benchmark --test-case all --iterations 20 --detailed",
        "anagram-stream benchmark --orchestrator my_orchestrator.py --plot my.png",
        "anagram-stream benchmark --faults original --seed 7",
    )
)(benchmark.benchmark)
app.command(
    epilog=examples(
        "anagram-stream compare-benchmarks --compare-dir benchmark_orchestrators",
        "anagram-stream compare-benchmarks --compare-dir mine --test-case small,medium --plot mine.png",
        "anagram-stream compare-benchmarks --compare-dir mine --timeout 5 --format json",
    )
)(compare.compare_benchmarks)


app.command(
    epilog=examples(
        "anagram-stream pipeline --test-case all",
        "anagram-stream pipeline --text 'Listen, silent cat'",
        "anagram-stream pipeline --faults original --seed 7",
        "anagram-stream pipeline --runs 1000 --faults original --scale 0.01",
    )
)(pipeline.pipeline)


unwrap_help(app, topics.app, dead_letters.app, offsets.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001 - its callback takes it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options before a command."""
    report_service_links()


def main() -> None:
    """Run a command; exit with 0, 1 for an error or a difference, or 2 for wrong settings or usage."""
    prepare_standard_files()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here: a failure at interpreter exit would print a traceback
    except StreamError as error:
        report_error(error)
        sys.exit(exit_code(error))
    except BrokenPipeError:  # `anagram-stream results | head`
        discard_output()
        sys.exit(0)
    except OSError as error:
        discard_output()
        if (failure := write_failure(error)) is None:
            raise
        with suppress(OSError):  # standard error may be on the same disk
            report_error(failure)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
