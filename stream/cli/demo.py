"""`demo`: runs the worker on a real Kafka, shows its outputs live and verifies them."""

import contextlib
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles
from typing import Annotated

import orjson
import typer

from stream.cli.app import admin_client, err, out, quantity
from stream.cli.demo_run import (
    SILENT_S_MAX,
    Feeder,
    Follower,
    OutputsSeen,
    collect_blobs,
    input_position,
)
from stream.cli.demo_view import View, make_view
from stream.config import Settings, load_settings
from stream.core.processed_offset import PROCESSED_KEY
from stream.dictionary import load_index
from stream.errors import Fatal, Misconfigured
from stream.telemetry.listening import listen
from stream.tools.audit.verdict import Verdict
from stream.tools.audit.verify import verify
from stream.tools.child_environment import child_environment
from stream.tools.kafka.topic_creation import create_topics, delete_topics
from stream.tools.worker_process import WorkerProcess
from stream.worker.startup import retry_while_unreachable


def demo(
    file: Annotated[
        list[Path] | None,
        typer.Option(help="File with your own text, one blob per line; `-` is standard input. Repeatable."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Number of times to send the sample blobs.")] = 100,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the broker and the worker running until Ctrl-C.")
    ] = False,
) -> None:
    """Send text through Kafka, show the counts live, and verify that each blob was counted exactly once.

    Starts Apache Kafka unless STREAM_BOOTSTRAP_SERVERS is set. On an existing cluster, it uses its own topics
    and deletes them at the end.
    """
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # like Ctrl-C, so that all processes are stopped
    folder = Path(tempfile.mkdtemp(prefix="anagram-stream-demo-"))
    try:
        with _cluster(folder, keep=keep) as settings:
            holds = _run(settings, folder, file or [], rounds, keep=keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not holds:
        raise typer.Exit(1)


@contextlib.contextmanager
def _cluster(folder: Path, *, keep: bool) -> Iterator[Settings]:
    """Yield the settings for the given cluster, or for an embedded broker."""
    chosen = load_settings()
    if "bootstrap_servers" in chosen.model_fields_set:
        run_id = uuid.uuid4().hex[:8]
        names = {
            name: f"demo-{run_id}-{getattr(chosen, name)}"
            for name in ("input_topic", "result_topic", "count_topic", "dead_letter_topic", "group_id")
        }
        settings = load_settings(**names, state_dir=folder / "state")
        _create_topics(settings)
        try:
            yield settings
        finally:
            if not keep:
                retry_while_unreachable(settings, lambda: delete_topics(admin_client(settings), settings))
        return
    from stream.broker.embedded import EmbeddedBroker  # noqa: PLC0415 - slow to import

    err.print("starting Apache Kafka …")
    began = time.monotonic()
    with EmbeddedBroker(java=chosen.java) as broker:
        settings = load_settings(bootstrap_servers=broker.bootstrap_servers, state_dir=folder / "state")
        err.print(f"Kafka runs at {broker.bootstrap_servers}, started in {time.monotonic() - began:.1f} s")
        _create_topics(settings)
        yield settings


def _create_topics(settings: Settings) -> None:
    retry_while_unreachable(
        settings, lambda: create_topics(admin_client(settings), settings, None, None, repair=False)
    )


def _run(settings: Settings, folder: Path, files: list[Path], rounds: int, *, keep: bool) -> bool:
    own, samples = collect_blobs(settings, files)
    to_send = [(blob.key or blob.origin, blob.text) for blob in own]
    to_send += [(f"{blob.origin} #{n}", blob.text) for n in range(1, rounds + 1) for blob in samples]
    if not to_send:
        raise Misconfigured("there is nothing to send", "use --rounds 1 or more, or --file")
    index = load_index(settings.dictionary)
    worker = WorkerProcess(child_environment(settings), folder / "worker.log")
    worker.start()
    follower = Follower(settings)
    err.print("starting a worker …")
    try:
        worker.wait_ready(SILENT_S_MAX)
        feeder = Feeder(settings, to_send)
        with make_view(
            len(to_send), {key for key, _ in to_send[: len(own) + len(samples)]}, index.anagrams
        ) as view:
            watched = _watch(settings, worker, feeder, follower, view, len(to_send))
        follower.close()
        if not keep:
            worker.stop()  # drains, so that the verdict covers all outputs of the worker
        verdict = verify(settings, index)
        _report(verdict, watched, feeder)
        if keep:
            with _served(settings, folder) as url:
                _wait(settings, worker, url)
    finally:
        follower.close()
        worker.stop()
    return verdict.holds and verdict.records >= len(to_send)


def _watch(  # noqa: PLR0913, PLR0917 - what is watched
    settings: Settings, worker: WorkerProcess, feeder: Feeder, follower: Follower, view: View, blobs: int
) -> OutputsSeen:
    """Read the outputs until every blob has an outcome."""
    watched = OutputsSeen(last=time.monotonic())
    feeder.start()
    while watched.done < blobs:
        for record in follower.take(0.1):
            now = time.monotonic()
            if record.topic == settings.count_topic:
                if record.key != PROCESSED_KEY:
                    watched.total(record)
                continue
            watched.done += 1
            watched.last = now
            watched.seen_at.setdefault(input_position(record), now)
            if record.topic == settings.result_topic:
                view.result(orjson.loads(record.value or b"{}"))
        view.tick(watched.done, feeder.sent, watched.totals)
        worker.check()
        if feeder.failed:
            raise Fatal(f"a blob could not be sent: {feeder.failed}")
        if time.monotonic() - watched.last > SILENT_S_MAX:
            raise Fatal(
                f"no commit for {SILENT_S_MAX:.0f} s; {watched.done} of {blobs} blobs have an outcome"
            )
    view.tick(watched.done, feeder.sent, watched.totals)
    feeder.join()
    return watched


def _report(verdict: Verdict, watched: OutputsSeen, feeder: Feeder) -> None:
    first = min(feeder.sent_at.values())
    seconds = max(watched.seen_at.values()) - first
    waits = sorted(
        watched.seen_at[position] - sent
        for position, sent in feeder.sent_at.items()
        if position in watched.seen_at
    )
    centiles = quantiles(waits, n=100) if len(waits) > 1 else [waits[0]] * 99
    if verdict.holds:
        out.print(
            "[bold green]exactly once:[/bold green] one outcome per blob, totals equal the sum over all input"
        )
    else:
        out.print(f"[bold red]not exact:[/bold red] {quantity(verdict.different, 'difference')}")
        for sentence in verdict.differences:
            out.print("  " + sentence, markup=False)
    out.print(
        f"  {quantity(verdict.records, 'blob')}, {quantity(verdict.results, 'result')}, "
        f"{quantity(verdict.dead_letters, 'dead letter')}, {quantity(verdict.different, 'difference')}"
    )
    out.print(
        f"  {verdict.words:,} words in {seconds:.1f} s: {verdict.words / max(seconds, 0.001):,.0f} words/s "
        f"({len(feeder.sent_at) / max(seconds, 0.001):,.0f} blobs/s); latency from produce to read: "
        f"p50 {centiles[49] * 1000:.0f} ms, p99 {centiles[98] * 1000:.0f} ms"
    )


@contextlib.contextmanager
def _served(settings: Settings, folder: Path) -> Iterator[str]:
    """Serve the page; yield its address, or an empty string if the extra is not installed."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        yield ""
        return
    port = str(settings.serve_port) if _is_free(settings.serve_port) else "0"
    env = child_environment(settings, STREAM_SERVE_SUBMIT="true")
    serve = WorkerProcess(env, folder / "serve.log", command=("-m", "stream", "serve", "--port", port))
    serve.start()
    try:
        deadline = time.monotonic() + SILENT_S_MAX
        while not (served := serve.events("serving")) and time.monotonic() < deadline:
            serve.check()
            time.sleep(0.1)
        yield served[-1]["url"] if served else ""
    finally:
        serve.stop()


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), listen("127.0.0.1", port):
        return True
    return False


def _wait(settings: Settings, worker: WorkerProcess, url: str) -> None:
    out.print("\nThe broker and the worker run until Ctrl-C. In another terminal:\n")
    for name in (
        "bootstrap_servers",
        "input_topic",
        "result_topic",
        "count_topic",
        "dead_letter_topic",
        "group_id",
    ):
        if getattr(settings, name) != Settings.model_fields[name].default:
            out.print(f"  export STREAM_{name.upper()}={getattr(settings, name)}")
    out.print("  echo 'listen to the silent tinsel' | anagram-stream produce")
    out.print("  anagram-stream results --follow")
    out.print("  anagram-stream totals --top 10")
    if url:
        out.print(f"\nWeb page: [bold]{url}[/bold]")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            worker.check()
            time.sleep(0.5)
