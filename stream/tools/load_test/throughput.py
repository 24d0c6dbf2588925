"""Measures throughput: a backlog is produced, workers process it, then the output is checked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, monotonic_ns

from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.tools.child_environment import child_environment
from stream.tools.load_test.child import Child
from stream.tools.load_test.commit_watcher import CommitWatcher
from stream.tools.load_test.environment import LoadTestEnvironment, own_environment
from stream.tools.load_test.expected_output import ExpectedOutput
from stream.tools.load_test.figures import Throughput
from stream.tools.load_test.messages import Begin, GeneratorOrder
from stream.tools.load_test.options import LoadTestOptions, OnProgress
from stream.tools.load_test.output_check import OutputChecker
from stream.tools.load_test.sizing import STEADY_S_MIN, blobs_of, more_blobs, pilot_blobs
from stream.tools.load_test.texts import Recipe, make_recipe
from stream.tools.load_test.worker_under_test import WorkerUnderTest

PRELOAD_S_MAX = 900.0


@dataclass(frozen=True, slots=True)
class BacklogShape:
    """The shape of a backlog."""

    words_per_blob: int
    partitions: int
    dictionary: Path | None = None


class ThroughputTest:
    """Measures backlogs, each with its own topics and workers."""

    def __init__(
        self, settings: Settings, options: LoadTestOptions, folder: Path, on_progress: OnProgress
    ) -> None:
        self._settings = settings
        self._options = options
        self._folder = folder
        self._on_progress = on_progress

    def measure(self, shape: BacklogShape, index: AnagramIndex) -> Throughput:
        """Measure a backlog that has the requested number of words, or takes about the requested duration.

        Raises:
            Fatal: the broker or a worker failed.
        """
        options = self._options
        if options.words:
            blobs = blobs_of(options.words, shape.words_per_blob, shape.partitions)
            return self._run(shape, index, blobs, "")
        blobs = pilot_blobs(shape.words_per_blob, shape.partitions)
        while True:  # ends: the number of words grows up to `WORDS_MAX`
            pilot = self._run(shape, index, blobs, "pilot")
            more = more_blobs(pilot, options.duration_s)
            if more <= blobs:
                return pilot
            if pilot.steady_words_per_s is not None:
                return self._run(shape, index, more, "")
            blobs = more

    def _run(self, shape: BacklogShape, index: AnagramIndex, blobs: int, name: str) -> Throughput:
        activity = " ".join(part for part in (f"{shape.words_per_blob:,} words per blob", name) if part)
        recipe = make_recipe(shape.words_per_blob, blobs, self._options.vocabulary, self._options.seed)
        self._on_progress(f"{activity}: texts", 0, blobs)
        expected = ExpectedOutput(index, recipe)
        dictionary = shape.dictionary or self._settings.dictionary
        settings = self._settings.model_copy(update={"dictionary": dictionary})
        limits = expected.text_bytes_max, expected.result_bytes_max
        with own_environment(settings, self._folder, shape.partitions, *limits) as environment:
            _preload(
                environment,
                recipe,
                blobs,
                lambda done: self._on_progress(f"{activity}: preload", done, blobs),
            )
            worker = WorkerUnderTest(
                environment.settings,
                environment.folder,
                self._options.workers,
                self._options.worker_arguments,
            )
            with worker:
                began = monotonic()
                worker.start()
                times = CommitWatcher(environment, worker, blobs).run(
                    lambda done: self._on_progress(f"{activity}: work", done, blobs)
                )
                cpu_s, processes = worker.usage.sample(), worker.members()
            checked = OutputChecker(environment, expected, blobs).run(
                lambda done: self._on_progress(f"{activity}: check", done, blobs), below=times.steady_ends
            )
        words = expected.words(blobs)
        steady_s, steady_words = times.last_at - times.steady_at, words - checked.words
        is_steady = steady_s >= STEADY_S_MIN
        steady_cpu_s = cpu_s - times.steady_cpu_s
        return Throughput(
            words_per_blob=shape.words_per_blob,
            partitions=shape.partitions,
            dictionary_words=index.words,
            processes=processes,
            blobs=blobs,
            words=words,
            first_s=times.first_at - began,
            whole_s=times.last_at - began,
            steady_words_per_s=steady_words / steady_s if is_steady else None,
            cpu_s=cpu_s,
            steady_cpu_s_per_million_words=steady_cpu_s / steady_words * 1e6 if is_steady else None,
            peak_mib=worker.usage.peak_mib,
            checked=checked,
        )


def _preload(
    environment: LoadTestEnvironment, recipe: Recipe, blobs: int, on_progress: Callable[[int], None]
) -> None:
    order = GeneratorOrder(
        prefix=environment.prefix,
        recipe=recipe,
        partitions=environment.partitions,
        first=0,
        blobs=blobs,
        rate=0,
    )
    env, log = child_environment(environment.settings), environment.folder / "generator.log"
    with Child("stream.tools.load_test.generator", order, env, log) as generator:
        generator.wait_for(lambda status: status.ready, PRELOAD_S_MAX, lambda _: None)
        generator.send(Begin(begin_ns=monotonic_ns()))
        generator.wait_for(
            lambda status: status.done, PRELOAD_S_MAX, lambda status: on_progress(status.count)
        )
