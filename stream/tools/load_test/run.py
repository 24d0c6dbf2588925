"""Runs the measurements of a load test, one after the other, and returns a report."""

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from stream import __version__
from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.dictionary import forget, load_index, load_lexicon
from stream.tools.kafka.brokers import group_session
from stream.tools.load_test.environment import (
    LoadTestEnvironment,
    attached_environment,
    own_environment,
)
from stream.tools.load_test.expected_output import ExpectedOutput
from stream.tools.load_test.figures import IDLE_RATE, LatencyAtDelay, Recovery, Report, Throughput
from stream.tools.load_test.open_loop import OpenLoop
from stream.tools.load_test.options import LoadTestOptions, OnProgress, Rate
from stream.tools.load_test.output_check import OutputCheck, OutputChecker
from stream.tools.load_test.slow_network import SlowNetwork
from stream.tools.load_test.texts import make_recipe, synthesize
from stream.tools.load_test.throughput import BacklogShape, ThroughputTest
from stream.tools.load_test.worker_under_test import WorkerUnderTest

SCALE_BLOB_WORDS = (5, 100, 10_000, 1_000_000)
SCALE_PARTITIONS = (1, 4, 64)
SCALE_DICTIONARY_WORDS = (10_000, 100_000, 1_000_000)
SCALE_WORDS_PER_BLOB = 100  # while partitions or dictionary vary
LIVE_POOL_BLOBS = 20_000
MS = 1_000
_NOT_REPORTED = {  # names, addresses and paths, which affect no figure
    "bootstrap_servers", "input_topic", "result_topic", "count_topic", "dead_letter_topic", "group_id",
    "instance_id", "state_dir", "dictionary", "log_format", "http_host", "http_port", "kafka_config", "java",
}  # fmt: skip


class LoadTest:
    """One load test; calls `on_progress` with the current activity."""

    def __init__(
        self,
        settings: Settings,
        options: LoadTestOptions,
        folder: Path,
        on_progress: OnProgress,
        network: SlowNetwork | None = None,
    ) -> None:
        """`network` is between the workers and the broker while `options.delay` is measured."""
        self._settings = settings
        self._options = options
        self._folder = folder
        self._on_progress = on_progress
        self._network = network
        self._index = load_index(settings.dictionary)
        self._live_recipe = make_recipe(options.live_words, LIVE_POOL_BLOBS, options.vocabulary, options.seed)
        self._throughput = ThroughputTest(settings, options, folder, on_progress)

    def run(self) -> Report:
        """Measure what the options request, on workers that are started for it.

        Raises:
            Fatal: the broker or a worker failed.
        """
        options, report = self._options, Report(self._conditions())
        if options.throughput:
            for words in options.blob_words:
                report.throughput.append(
                    self._throughput.measure(BacklogShape(words, options.partitions), self._index)
                )
        if options.latency:
            self._latency(report, [self._rate(rate, report.throughput) for rate in options.rates])
        if self._network is not None:
            rates = [self._rate(rate, report.throughput) for rate in options.rates]
            self._delay(report, self._network, (IDLE_RATE, min(rates)))
        if options.recovery:
            report.recovery.append(
                self._recovery(min(self._rate(r, report.throughput) for r in options.rates))
            )
        return report

    def attach(self) -> Report:
        """Measure the latency of workers that are already running.

        Raises:
            Fatal: the broker failed.
        """
        report, expected = Report(self._conditions()), self._live_expected
        with attached_environment(self._settings, self._folder) as environment:
            start = environment.result_ends()
            open_loop = OpenLoop(environment, None, self._live_recipe, self._on_progress)
            for rate in self._options.rates:
                report.latency.append(
                    open_loop.latency(self._rate(rate, []), self._options, self._words_per_blob)
                )
            report.latency_checked = OutputChecker(environment, expected, open_loop.sent).run(
                lambda done: self._on_progress("check", done, open_loop.sent), start=start
            )
        return report

    def scale(self) -> Report:
        """Measure the throughput for several sizes of blobs, numbers of partitions, and dictionaries.

        Raises:
            Fatal: the broker or a worker failed.
        """
        options, report = self._options, Report(self._conditions())
        done: dict[BacklogShape, Throughput] = {}

        def measured(shape: BacklogShape, index: AnagramIndex) -> Throughput:
            if shape not in done:
                done[shape] = self._throughput.measure(shape, index)
            return done[shape]

        report.scale["words_per_blob"] = [
            measured(BacklogShape(words, options.partitions), self._index) for words in SCALE_BLOB_WORDS
        ]
        report.scale["partitions"] = [
            measured(BacklogShape(SCALE_WORDS_PER_BLOB, partitions), self._index)
            for partitions in SCALE_PARTITIONS
        ]
        rows = report.scale["dictionary_words"] = []
        for words in SCALE_DICTIONARY_WORDS:
            path = self._folder / f"{words}-words.txt"
            path.write_text("\n".join(synthesize(words, options.seed)), encoding="utf-8")
            try:
                load_lexicon(path)  # caches it, like a dictionary in use, so that no worker builds it
                rows.append(
                    measured(BacklogShape(SCALE_WORDS_PER_BLOB, options.partitions, path), load_index(path))
                )
            finally:
                forget(path)
        return report

    def _latency(self, report: Report, rates: list[float]) -> None:
        with self._running_workers() as (environment, worker, open_loop):
            for rate in rates:
                report.latency.append(open_loop.latency(rate, self._options, self._words_per_blob))
            report.latency_checked = self._stop_and_check("latency", environment, worker, open_loop)

    def _delay(self, report: Report, network: SlowNetwork, rates: Sequence[float]) -> None:
        with self._running_workers(network.address) as (environment, worker, open_loop):
            for delay_ms in self._options.delays_ms:
                network.delay_s = delay_ms / MS
                report.delays += [
                    LatencyAtDelay(delay_ms, open_loop.latency(rate, self._options, self._words_per_blob))
                    for rate in rates
                ]
            network.delay_s = 0.0
            report.delays_checked = self._stop_and_check("delay", environment, worker, open_loop)

    def _recovery(self, rate: float) -> Recovery:
        with self._running_workers() as (environment, worker, open_loop):
            protocol, session_s = group_session(environment.admin, environment.settings)
            times = open_loop.recovery(rate)
            checked = self._stop_and_check("recovery", environment, worker, open_loop)
        return Recovery(rate, protocol, self._settings.static_membership, session_s, times, checked)

    @contextmanager
    def _running_workers(
        self, address: str | None = None
    ) -> Iterator[tuple[LoadTestEnvironment, WorkerUnderTest, OpenLoop]]:
        """Run workers, which connect to the broker at `address`, if given."""
        options, expected = self._options, self._live_expected
        limits = expected.text_bytes_max, expected.result_bytes_max
        with (
            own_environment(self._settings, self._folder, options.partitions, *limits) as environment,
            WorkerUnderTest(
                environment.settings.model_copy(
                    update={} if address is None else {"bootstrap_servers": address}
                ),
                environment.folder,
                options.workers,
                options.worker_arguments,
            ) as worker,
        ):
            worker.start()
            worker.wait_ready()
            worker.wait_settled()
            yield environment, worker, OpenLoop(environment, worker, self._live_recipe, self._on_progress)

    def _stop_and_check(
        self, what: str, environment: LoadTestEnvironment, worker: WorkerUnderTest, open_loop: OpenLoop
    ) -> OutputCheck:
        worker.stop()  # a drained worker writes no more duplicates
        return OutputChecker(environment, self._live_expected, open_loop.sent).run(
            lambda done: self._on_progress(f"{what}: check", done, open_loop.sent)
        )

    @cached_property
    def _live_expected(self) -> ExpectedOutput:
        return ExpectedOutput(self._index, self._live_recipe)

    @property
    def _words_per_blob(self) -> float:
        """Mean number of words of a blob, as the workers count them."""
        return self._live_expected.words(self._live_recipe.texts) / self._live_recipe.texts

    def _rate(self, rate: Rate, throughput: list[Throughput]) -> float:
        if not rate.is_share:
            return rate.value
        at_live_words = next(row for row in throughput if row.words_per_blob == self._options.live_words)
        return rate.blobs_per_s(at_live_words.words_per_s * at_live_words.blobs / at_live_words.words)

    def _conditions(self) -> dict[str, Any]:
        options, settings = self._options, self._settings
        return {
            "version": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": psutil.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "seed": options.seed,
            "dictionary_words": self._index.words,
            "vocabulary": options.vocabulary or self._index.words,
            "partitions": options.partitions,
            "workers": options.workers,
            "worker_arguments": list(options.worker_arguments),
            "duration_s": options.duration_s,
            "warmup_s": options.warmup_s,
            "settings": {
                name: str(getattr(settings, name))
                for name in sorted(settings.model_fields_set - _NOT_REPORTED)
            },
            "group_protocol": settings.group_protocol,
            "static_membership": settings.static_membership,
            "commit_interval_ms": settings.commit_interval_ms,
        }
