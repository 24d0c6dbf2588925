"""`demo`: the whole main job on the real thing, watched and judged."""

import contextlib
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import Annotated

import orjson
import typer

from stream.cli.app import admin_client, err, out
from stream.cli.demo_run import (
    SILENT_S_MAX,
    DemoWorker,
    Feeder,
    Follower,
    Watched,
    gather_blobs,
    source_of,
)
from stream.cli.demo_view import View, make_view
from stream.config import Settings, load_settings
from stream.dictionary import load_index
from stream.errors import Fatal
from stream.kafka import topics
from stream.tools.audit.verdict import Verdict
from stream.tools.audit.verify import verify
from stream.worker.startup import retry_while_unreachable


def demo(
    file: Annotated[
        list[Path] | None,
        typer.Option(help="Your own text, a line a blob; `-` is standard input. Repeatable."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=0, help="How often the sample blobs are sent.")] = 100,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave broker and worker running until Ctrl-C.")
    ] = False,
) -> None:
    """Set everything up, send text through Kafka, watch it being counted, and check that it was exactly once.

    Starts Apache Kafka itself unless STREAM_BOOTSTRAP_SERVERS is set; there, topics of its own are used and
    deleted at the end.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
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
    """Yield settings for the broker to use: the one that was named, or one of our own."""
    chosen = load_settings()
    if "bootstrap_servers" in chosen.model_fields_set:
        own = uuid.uuid4().hex[:8]
        mine = {
            name: f"demo-{own}-{getattr(chosen, name)}"
            for name in ("input_topic", "result_topic", "count_topic", "dead_letter_topic", "group_id")
        }
        settings = load_settings(**mine, state_dir=folder / "state")
        _create_topics(settings)
        try:
            yield settings
        finally:
            if not keep:
                retry_while_unreachable(settings, lambda: topics.delete(admin_client(settings), settings))
        return
    from stream.broker.embedded import EmbeddedBroker  # noqa: PLC0415 - slow to load, and workers do without

    err.print("starting Apache Kafka …")
    began = time.monotonic()
    with EmbeddedBroker(java=chosen.java) as broker:
        settings = load_settings(bootstrap_servers=broker.bootstrap_servers, state_dir=folder / "state")
        err.print(f"Kafka runs at {broker.bootstrap_servers} after {time.monotonic() - began:.1f} s")
        _create_topics(settings)
        yield settings


def _create_topics(settings: Settings) -> None:
    retry_while_unreachable(
        settings, lambda: topics.create(admin_client(settings), settings, None, None, repair=False)
    )


def _run(settings: Settings, folder: Path, files: list[Path], rounds: int, *, keep: bool) -> bool:
    own, samples = gather_blobs(settings, files)
    chosen = [(blob.key or blob.where, blob.text) for blob in own]
    chosen += [(f"{blob.where} #{n}", blob.text) for n in range(1, rounds + 1) for blob in samples]
    if not chosen:
        raise Fatal("there is nothing to send: give --rounds at least 1, or --file")
    index = load_index(settings.dictionary)
    worker = DemoWorker(settings, folder)
    worker.start()
    follower = Follower(settings)
    err.print("starting a worker …")
    try:
        worker.wait_ready()
        feeder = Feeder(settings, chosen)
        with make_view(
            len(chosen), {key for key, _ in chosen[: len(own) + len(samples)]}, index.anagrams
        ) as view:
            watched = _watch(settings, worker, feeder, follower, view, len(chosen))
        follower.close()
        if not keep:
            worker.stop()  # drained: whatever would come out twice has come out
        verdict = verify(settings, index)
        _report(verdict, watched, feeder)
        if keep:
            _wait(settings, worker)
    finally:
        follower.close()
        worker.stop()
    return verdict.holds and verdict.records >= len(chosen)


def _watch(  # noqa: PLR0913, PLR0917 - what is watched
    settings: Settings, worker: DemoWorker, feeder: Feeder, follower: Follower, view: View, blobs: int
) -> Watched:
    """Follow the outputs until every blob has one."""
    watched = Watched(last=time.monotonic())
    feeder.start()
    while watched.done < blobs:
        for record in follower.take(0.1):
            now = time.monotonic()
            if record.topic == settings.count_topic:
                watched.total(record)
                continue
            watched.done += 1
            watched.last = now
            watched.seen_at.setdefault(source_of(record), now)
            if record.topic == settings.result_topic:
                view.result(orjson.loads(record.value or b"{}"))
        view.tick(watched.done, feeder.sent, watched.totals)
        worker.check()
        if feeder.failed:
            raise Fatal(f"a blob could not be sent: {feeder.failed}")
        if time.monotonic() - watched.last > SILENT_S_MAX:
            raise Fatal(
                f"nothing was committed for {SILENT_S_MAX:.0f} s; {watched.done} of {blobs} blobs are done"
            )
    view.tick(watched.done, feeder.sent, watched.totals)
    feeder.join()
    return watched


def _report(verdict: Verdict, watched: Watched, feeder: Feeder) -> None:
    first = min(feeder.sent_at.values())
    seconds = max(watched.seen_at.values()) - first
    waits = sorted(watched.seen_at[at] - sent for at, sent in feeder.sent_at.items() if at in watched.seen_at)
    centiles = quantiles(waits, n=100) if len(waits) > 1 else [waits[0]] * 99
    if verdict.holds:
        out.print(
            "[bold green]exactly once:[/bold green] one outcome a blob, totals are the fold of the input"
        )
    else:
        out.print(f"[bold red]not exact:[/bold red] {verdict.different} differences")
        for sentence in verdict.differences:
            out.print("  " + sentence, markup=False)
    out.print(
        f"  {verdict.records:,} blobs in, {verdict.results:,} results, {verdict.dead_letters:,} dead letters"
        f", {verdict.different} differences"
    )
    out.print(
        f"  {verdict.words:,} words in {seconds:.1f} s: {verdict.words / max(seconds, 0.001):,.0f} words/s "
        f"({len(feeder.sent_at) / max(seconds, 0.001):,.0f} blobs/s); from produce to committed read: "
        f"p50 {centiles[49] * 1000:.0f} ms, p99 {centiles[98] * 1000:.0f} ms"
    )


def _wait(settings: Settings, worker: DemoWorker) -> None:
    out.print("\nBroker and worker go on until Ctrl-C. In another terminal:\n")
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
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            worker.check()
            time.sleep(0.5)
