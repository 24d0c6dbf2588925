"""An order -> a report: one measurement after the other."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from stream import __version__
from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.dictionary import forget, load_index, load_lexicon
from stream.tools.load_test.check import Checker
from stream.tools.load_test.environment import LoadTestEnvironment, attached_cell, own_cell
from stream.tools.load_test.figures import Recovery, Report, Throughput
from stream.tools.load_test.live import Live
from stream.tools.load_test.order import Order, Rate, Tell
from stream.tools.load_test.texts import make_recipe, synthesize
from stream.tools.load_test.throughput import Backlogs, Point
from stream.tools.load_test.truth import Truth
from stream.tools.load_test.worker_under_test import WorkerUnderTest

SCALE_BLOB_WORDS = (5, 100, 10_000, 1_000_000)
SCALE_PARTITIONS = (1, 4, 64)
SCALE_DICTIONARY_WORDS = (10_000, 100_000, 1_000_000)
SCALE_WORDS_PER_BLOB = 100  # where another thing is varied
LIVE_POOL_BLOBS = 20_000
_NOT_TOLD = {  # names and places: nothing that a figure depends on
    "bootstrap_servers", "input_topic", "result_topic", "count_topic", "dead_letter_topic", "group_id",
    "instance_id", "state_dir", "dictionary", "log_format", "http_host", "http_port", "kafka_config", "java",
}  # fmt: skip


class Bench:
    """One run. `tell` hears what is done, and how far it is."""

    def __init__(self, settings: Settings, order: Order, folder: Path, tell: Tell) -> None:
        self._settings = settings
        self._order = order
        self._folder = folder
        self._tell = tell
        self._index = load_index(settings.dictionary)
        self._live_recipe = make_recipe(order.live_words, LIVE_POOL_BLOBS, order.vocabulary, order.seed)
        self._backlogs = Backlogs(settings, order, folder, tell)

    def run(self) -> Report:
        """Measure all that was ordered on workers of our own.

        Raises:
            Fatal: broker or worker failed.
        """
        order, report = self._order, Report(self._conditions())
        if order.throughput:
            for words in order.blob_words:
                report.throughput.append(self._backlogs.measure(Point(words, order.partitions), self._index))
        if order.latency:
            self._latency(report, [self._rate(rate, report.throughput) for rate in order.rates])
        if order.recovery:
            report.recovery.append(self._recovery(min(self._rate(r, report.throughput) for r in order.rates)))
        return report

    def attach(self) -> Report:
        """Measure only latency, on workers that run already.

        Raises:
            Fatal: the broker failed.
        """
        report, truth = Report(self._conditions()), self._live_truth
        with attached_cell(self._settings, self._folder) as cell:
            start = cell.result_ends()
            live = Live(cell, None, self._live_recipe, self._tell)
            for rate in self._order.rates:
                report.latency.append(
                    live.latency(self._rate(rate, []), self._order, self._words_per_blob(truth))
                )
            report.latency_checked = Checker(cell, truth, live.sent).run(
                lambda done: self._tell("check", done, live.sent), start=start
            )
        return report

    def scale(self) -> Report:
        """Measure the throughput over sizes of blobs, numbers of partitions, and dictionaries.

        Raises:
            Fatal: broker or worker failed.
        """
        order, report = self._order, Report(self._conditions())
        done: dict[Point, Throughput] = {}

        def measured(point: Point, index: AnagramIndex) -> Throughput:
            if point not in done:
                done[point] = self._backlogs.measure(point, index)
            return done[point]

        report.scale["words_per_blob"] = [
            measured(Point(words, order.partitions), self._index) for words in SCALE_BLOB_WORDS
        ]
        report.scale["partitions"] = [
            measured(Point(SCALE_WORDS_PER_BLOB, partitions), self._index) for partitions in SCALE_PARTITIONS
        ]
        rows = report.scale["dictionary_words"] = []
        for words in SCALE_DICTIONARY_WORDS:
            path = self._folder / f"{words}-words.txt"
            path.write_text("\n".join(synthesize(words, order.seed)), encoding="utf-8")
            try:
                load_lexicon(path)  # it is kept then, as of a dictionary in use: no worker makes it
                rows.append(measured(Point(SCALE_WORDS_PER_BLOB, order.partitions, path), load_index(path)))
            finally:
                forget(path)
        return report

    def _latency(self, report: Report, rates: list[float]) -> None:
        truth = self._live_truth
        with self._live(truth) as (cell, subject, live):
            subject.start()
            subject.wait_ready()
            subject.wait_settled()
            for rate in rates:
                report.latency.append(live.latency(rate, self._order, self._words_per_blob(truth)))
            subject.stop()  # drained: whatever would come out twice has come out
            report.latency_checked = Checker(cell, truth, live.sent).run(
                lambda done: self._tell("latency: check", done, live.sent)
            )

    def _recovery(self, rate: float) -> Recovery:
        truth = self._live_truth
        with self._live(truth) as (cell, subject, live):
            subject.start()
            subject.wait_ready()
            subject.wait_settled()
            times = live.recovery(rate)
            subject.stop()
            checked = Checker(cell, truth, live.sent).run(
                lambda done: self._tell("recovery: check", done, live.sent)
            )
        return Recovery(rate, self._settings.group_protocol, self._settings.static_membership, times, checked)

    @contextmanager
    def _live(self, truth: Truth) -> Iterator[tuple[LoadTestEnvironment, WorkerUnderTest, Live]]:
        order = self._order
        limits = truth.text_bytes_max, truth.result_bytes_max
        with own_cell(self._settings, self._folder, order.partitions, *limits) as cell:
            subject = WorkerUnderTest(cell.settings, cell.folder, order.workers, order.worker_arguments)
            with subject:
                yield cell, subject, Live(cell, subject, self._live_recipe, self._tell)

    @cached_property
    def _live_truth(self) -> Truth:
        return Truth(self._index, self._live_recipe)

    def _words_per_blob(self, truth: Truth) -> float:
        """As they are counted."""
        return truth.words(self._live_recipe.texts) / self._live_recipe.texts

    def _rate(self, rate: Rate, throughput: list[Throughput]) -> float:
        if not rate.is_share:
            return rate.value
        found = next(row for row in throughput if row.words_per_blob == self._order.live_words)
        return rate.blobs_per_s(found.words_per_s * found.blobs / found.words)

    def _conditions(self) -> dict[str, Any]:
        order, settings = self._order, self._settings
        return {
            "version": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": psutil.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "seed": order.seed,
            "dictionary_words": self._index.words,
            "vocabulary": order.vocabulary or self._index.words,
            "partitions": order.partitions,
            "workers": order.workers,
            "worker_arguments": list(order.worker_arguments),
            "duration_s": order.duration_s,
            "warmup_s": order.warmup_s,
            "settings": {
                name: str(getattr(settings, name)) for name in sorted(settings.model_fields_set - _NOT_TOLD)
            },
            "group_protocol": settings.group_protocol,
            "static_membership": settings.static_membership,
            "commit_interval_ms": settings.commit_interval_ms,
        }
