"""Throughput: a backlog is there before a worker starts; the output is read and checked afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, monotonic_ns

from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.tools.child_environment import child_environment
from stream.tools.load_test.check import Checker
from stream.tools.load_test.child import Child
from stream.tools.load_test.environment import LoadTestEnvironment, own_cell
from stream.tools.load_test.figures import Throughput
from stream.tools.load_test.messages import Begin, GeneratorOrder
from stream.tools.load_test.order import Order, Tell
from stream.tools.load_test.sizing import STEADY_S_MIN, blobs_of, more_blobs, pilot_blobs
from stream.tools.load_test.texts import Recipe, make_recipe
from stream.tools.load_test.truth import Truth
from stream.tools.load_test.watch import Instruments
from stream.tools.load_test.worker_under_test import WorkerUnderTest

PRELOAD_S_MAX = 900.0


@dataclass(frozen=True, slots=True)
class Point:
    """What a run is about."""

    words_per_blob: int
    partitions: int
    dictionary: Path | None = None


class Backlogs:
    """Runs of one order, each with topics and workers of its own."""

    def __init__(self, settings: Settings, order: Order, folder: Path, tell: Tell) -> None:
        self._settings = settings
        self._order = order
        self._folder = folder
        self._tell = tell

    def measure(self, point: Point, index: AnagramIndex) -> Throughput:
        """Measure a backlog that takes about as long as was asked for, or has as many words.

        Raises:
            Fatal: broker or worker failed.
        """
        order = self._order
        if order.words:
            blobs = blobs_of(order.words, point.words_per_blob, point.partitions)
            return self._run(point, index, blobs, "")
        blobs = pilot_blobs(point.words_per_blob, point.partitions)
        while True:  # ends: there are more words each time, at most `WORDS_MAX`
            pilot = self._run(point, index, blobs, "pilot")
            more = more_blobs(pilot, order.duration_s)
            if more <= blobs:
                return pilot
            if pilot.steady_words_per_s is not None:
                return self._run(point, index, more, "")
            blobs = more

    def _run(self, point: Point, index: AnagramIndex, blobs: int, name: str) -> Throughput:
        what = " ".join(part for part in (f"{point.words_per_blob:,} words a blob", name) if part)
        recipe = make_recipe(point.words_per_blob, blobs, self._order.vocabulary, self._order.seed)
        self._tell(f"{what}: texts", 0, blobs)
        truth = Truth(index, recipe)
        dictionary = point.dictionary or self._settings.dictionary
        settings = self._settings.model_copy(update={"dictionary": dictionary})
        limits = truth.text_bytes_max, truth.result_bytes_max
        with own_cell(settings, self._folder, point.partitions, *limits) as cell:
            _preload(cell, recipe, blobs, lambda done: self._tell(f"{what}: preload", done, blobs))
            subject = WorkerUnderTest(
                cell.settings, cell.folder, self._order.workers, self._order.worker_arguments
            )
            with subject:
                began = monotonic()
                subject.start()
                marks = Instruments(cell, subject, blobs).run(
                    lambda done: self._tell(f"{what}: work", done, blobs)
                )
                cpu_s, processes = subject.usage.look(), subject.members()
            checked = Checker(cell, truth, blobs).run(
                lambda done: self._tell(f"{what}: check", done, blobs), below=marks.steady_ends
            )
        words = truth.words(blobs)
        steady_s, steady_words = marks.last_at - marks.steady_at, words - checked.words
        is_steady = steady_s >= STEADY_S_MIN
        steady_cpu_s = cpu_s - marks.steady_cpu_s
        return Throughput(
            words_per_blob=point.words_per_blob,
            partitions=point.partitions,
            dictionary_words=index.words,
            processes=processes,
            blobs=blobs,
            words=words,
            first_s=marks.first_at - began,
            whole_s=marks.last_at - began,
            steady_words_per_s=steady_words / steady_s if is_steady else None,
            cpu_s=cpu_s,
            steady_cpu_s_per_million_words=steady_cpu_s / steady_words * 1e6 if is_steady else None,
            peak_mib=subject.usage.peak_mib,
            checked=checked,
        )


def _preload(cell: LoadTestEnvironment, recipe: Recipe, blobs: int, tell: Callable[[int], None]) -> None:
    order = GeneratorOrder(
        prefix=cell.prefix, recipe=recipe, partitions=cell.partitions, first=0, blobs=blobs, rate=0
    )
    env = child_environment(cell.settings)
    with Child("stream.tools.load_test.generator", order, env, cell.folder / "generator.log") as generator:
        generator.wait_for(lambda said: said.ready, PRELOAD_S_MAX, lambda _: None)
        generator.tell(Begin(begin_ns=monotonic_ns()))
        generator.wait_for(lambda said: said.done, PRELOAD_S_MAX, lambda said: tell(said.count))
