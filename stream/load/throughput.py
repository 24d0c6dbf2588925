"""Throughput: a backlog is there before a worker starts; its commits are watched from outside.

What is watched are last stable offsets, which costs next to nothing; the output is read afterwards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, monotonic_ns, sleep

from stream.config import Settings, child_environment
from stream.core.dictionary import AnagramIndex
from stream.errors import Fatal, Retriable
from stream.kafka.clients import reader_options
from stream.kafka.offsets import committed_offsets
from stream.load.cell import Cell, own_cell
from stream.load.check import Checker
from stream.load.child import Child
from stream.load.figures import Throughput
from stream.load.messages import Begin, GeneratorOrder
from stream.load.order import Order, Tell
from stream.load.sizing import STEADY_S_MIN, blobs_of, more_blobs, pilot_blobs
from stream.load.subject import Subject
from stream.load.texts import Recipe, make_recipe
from stream.load.truth import Truth

LOOK_S = 0.025
ASK_SOON_S, ASK_S = 0.1, 2.0  # between two questions for the group's offsets
PRELOAD_S_MAX, STALL_S_MAX = 900.0, 120.0
COMMITTED_S = 5.0


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
            subject = Subject(cell.settings, cell.folder, self._order.workers, self._order.worker_arguments)
            with subject:
                began = monotonic()
                subject.start()
                marks = Watch(cell, subject, blobs).run(lambda done: self._tell(f"{what}: work", done, blobs))
                cpu_s = subject.usage.look()
            checked = Checker(cell, truth, blobs).run(
                lambda done: self._tell(f"{what}: check", done, blobs), below=marks.first
            )
        words = truth.words(blobs)
        steady_s, steady_words = marks.last_at - marks.first_at, words - checked.words
        is_steady = steady_s >= STEADY_S_MIN
        steady_cpu_s = cpu_s - marks.first_cpu_s
        return Throughput(
            words_per_blob=point.words_per_blob,
            partitions=point.partitions,
            dictionary_words=index.words,
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


def _preload(cell: Cell, recipe: Recipe, blobs: int, tell: Callable[[int], None]) -> None:
    order = GeneratorOrder(
        prefix=cell.prefix, recipe=recipe, partitions=cell.partitions, first=0, blobs=blobs, rate=0
    )
    env = child_environment(cell.settings)
    with Child("stream.load.generator", order, env, cell.folder / "generator.log") as generator:
        generator.wait_for(lambda said: said.ready, PRELOAD_S_MAX, lambda _: None)
        generator.tell(Begin(begin_ns=monotonic_ns()))
        generator.wait_for(lambda said: said.done, PRELOAD_S_MAX, lambda said: tell(said.count))


@dataclass(slots=True)
class Marks:
    """When results were committed.

    Attributes:
        first: partition -> the last stable offset after the first commit.
        first_at: when that was, by the monotonic clock; last_at: when the last commit was.
        first_cpu_s: processor time until the first commit.
    """

    first: Mapping[int, int]
    first_at: float
    last_at: float
    first_cpu_s: float


class Watch:
    """Watches a worker until the group has committed all input."""

    def __init__(self, cell: Cell, subject: Subject, blobs: int) -> None:
        self._cell = cell
        self._subject = subject
        self._blobs = blobs
        self._input = cell.log_ends(cell.settings.input_topic)

    def run(self, tell: Callable[[int], None]) -> Marks:
        """Watch; `tell` hears how many results there are.

        Raises:
            Fatal: the worker ended, or nothing came for too long.
        """
        marks: Marks | None = None
        seen = 0
        grown_at = asked_at = monotonic()
        while True:  # ends: all is committed, or nothing was for `STALL_S_MAX`
            ends = self._cell.result_ends()
            now = monotonic()
            if (reached := sum(ends.values())) > seen:
                seen, grown_at = reached, now
                marks = marks or Marks(ends, now, now, self._subject.usage.look())
                marks.last_at = now
                tell(min(seen, self._blobs))
            if now - asked_at > (ASK_SOON_S if seen >= self._blobs else ASK_S):
                asked_at = now
                self._subject.check()
                if self._is_committed() and sum(self._cell.result_ends().values()) == seen:
                    break
            if now - grown_at > STALL_S_MAX:
                raise self._stuck(f"nothing was committed for {STALL_S_MAX:.0f} s, after {seen:,} results")
            sleep(LOOK_S)
        if marks is None:
            raise self._stuck("no blob has a result")
        return marks

    def _stuck(self, why: str) -> Fatal:
        return Fatal(f"{why}; the worker's last lines:\n{self._subject.last_lines()}")

    def _is_committed(self) -> bool:
        settings = self._cell.settings
        try:
            found = committed_offsets(
                reader_options(settings), settings.input_topic, list(self._input), COMMITTED_S
            )
        except Retriable:
            return False
        return all((found[partition] or 0) >= end for partition, end in self._input.items())
