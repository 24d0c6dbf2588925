"""Measures an open loop: blobs are produced at a rate while results are read; latency and recovery."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns, sleep

from stream.tools.child_environment import child_environment
from stream.tools.load_test.child import Child, Overdue
from stream.tools.load_test.environment import LoadTestEnvironment
from stream.tools.load_test.figures import LatencyAtRate, RecoveryTimes
from stream.tools.load_test.latency import summarize
from stream.tools.load_test.messages import Begin, GeneratorOrder, ReaderOrder, Status, Stop
from stream.tools.load_test.options import LoadTestOptions, OnProgress
from stream.tools.load_test.reader import Arrivals
from stream.tools.load_test.resource_usage import ResourceUsage
from stream.tools.load_test.schedule import NS, Schedule
from stream.tools.load_test.texts import Recipe
from stream.tools.load_test.worker_under_test import WorkerUnderTest

RUN_S = 0.005  # consecutive blobs within this time go to one partition, as with a sticky partitioner
LEAD_NS = NS // 2  # from `Begin` until the first blob is due
READY_S_MAX, SEND_S_MAX, GRACE_S = 120.0, 300.0, 60.0
BEFORE_S, AFTER_S, RECOVER_S_MAX = 3.0, 2.0, 150.0
LATE_FACTOR = 2  # times the longest latency before the kill; beyond it, a result is late because of the kill


@dataclass(slots=True)
class RunningLoad:
    """A running generator and reader.

    Attributes:
        schedule: due times of the blobs.
        first: number of the first blob.
    """

    generator: Child
    reader: Child
    schedule: Schedule
    first: int
    reader_order: ReaderOrder

    def arrivals(self) -> Arrivals:
        """Return the results that the reader saw; it must be done."""
        return Arrivals.load(self.reader_order.file)

    def latencies_ns(self, arrivals: Arrivals, skipped: int = 0) -> Iterator[int]:
        """Yield the latencies in the order of arrival, except those of the first `skipped` blobs."""
        for number, time_ns in zip(arrivals.numbers, arrivals.times_ns, strict=True):
            position = number - self.first
            if position >= skipped:
                yield time_ns - self.schedule.due_ns(position)


class OpenLoop:
    """Runs loads on one environment, one after the other; their blobs are numbered consecutively.

    Attributes:
        sent: number of blobs so far.
    """

    def __init__(
        self,
        environment: LoadTestEnvironment,
        worker: WorkerUnderTest | None,
        recipe: Recipe,
        on_progress: OnProgress,
    ) -> None:
        self._environment = environment
        self._worker = worker
        self._recipe = recipe
        self._on_progress = on_progress
        self.sent = 0

    def latency(self, rate: float, options: LoadTestOptions, words_per_blob_mean: float) -> LatencyAtRate:
        """Measure the latency at a rate.

        Raises:
            Fatal: the generator, the reader or a worker failed.
        """
        activity = f"latency at {rate:,.0f} blobs/s"
        warmup_blobs = int(rate * options.warmup_s)
        blobs = max(1, warmup_blobs + int(rate * options.duration_s))
        usage = None if self._worker is None else self._worker.usage
        with self._running_load(rate, blobs, activity) as load:
            cpu_before_s, began_ns = _start_usage(usage), monotonic_ns()
            load.generator.wait_for(
                lambda status: status.count >= blobs,
                blobs / rate + SEND_S_MAX,
                lambda status: self._tick(activity, status, blobs),
            )
            cores = _cores(usage, cpu_before_s, monotonic_ns() - began_ns)
            sent = load.generator.wait_for(lambda status: status.done, SEND_S_MAX, lambda _: None)
            self.sent += sent.count
            load.reader.send(Stop(blobs=sent.count))
            seen = self._await_reader(load, sent.count)
            arrivals = load.arrivals()
        last_due_ns = load.schedule.due_ns(blobs - 1)
        return LatencyAtRate(
            rate=rate,
            achieved_rate=sent.count / sent.seconds,
            words_per_blob=self._recipe.words_per_blob,
            words_per_s=rate * words_per_blob_mean,
            blobs=sent.count,
            missing=sent.count - seen.count,
            latency=summarize(load.latencies_ns(arrivals, warmup_blobs)),
            late_p99_ms=sent.late_p99_ms,
            late_max_ms=sent.late_max_ms,
            taken_p99_ms=sent.ack_p99_ms,
            drain_s=max(0.0, (max(arrivals.times_ns, default=last_due_ns) - last_due_ns) / NS),
            cpu_cores=cores,
            peak_mib=usage.peak_mib if usage else None,
        )

    def recovery(self, rate: float) -> RecoveryTimes:
        """Kill the workers under load, restart them, and measure until results arrive as before.

        Raises:
            Fatal: the workers did not recover in time, or the generator or the reader failed.
        """
        assert self._worker is not None
        activity, blobs = "recovery", int(rate * (BEFORE_S + RECOVER_S_MAX + AFTER_S))
        with self._running_load(rate, blobs, activity) as load:
            self._run_for(load, activity, BEFORE_S)
            killed_ns = monotonic_ns()
            self._worker.kill()
            # New results lie beyond these ends; the records of the open transaction are aborted, never seen.
            ends = self._environment.log_ends(self._environment.settings.result_topic)
            self._worker.start()
            load.reader.wait_for(
                lambda status: all(status.ends.get(p, 0) > end for p, end in ends.items()),
                RECOVER_S_MAX,
                lambda status: self._tick(activity, status, blobs),
            )
            self._run_for(load, activity, AFTER_S)
            load.generator.send(Stop(blobs=0))
            sent = load.generator.wait_for(lambda status: status.done, SEND_S_MAX, lambda _: None)
            self.sent += sent.count
            load.reader.send(Stop(blobs=sent.count))
            self._await_reader(load, sent.count)
            arrivals = load.arrivals()
        return recovery_times(load, arrivals, killed_ns, ends)

    @contextmanager
    def _running_load(self, rate: float, blobs: int, activity: str) -> Iterator[RunningLoad]:
        environment, first = self._environment, self.sent
        env, folder = child_environment(environment.settings), environment.folder
        generator_order = GeneratorOrder(
            prefix=environment.prefix,
            recipe=self._recipe,
            partitions=environment.partitions,
            first=first,
            blobs=blobs,
            rate=rate,
            run=max(1, round(rate * RUN_S)),
        )
        reader_order = ReaderOrder(
            prefix=environment.prefix,
            start=environment.result_ends(),
            first=first,
            blobs=blobs,
            file=folder / f"arrivals-{first}",
        )
        self._on_progress(f"{activity}: texts", 0, blobs)
        with (
            Child(
                "stream.tools.load_test.generator", generator_order, env, folder / "generator.log"
            ) as generator,
            Child("stream.tools.load_test.reader", reader_order, env, folder / "reader.log") as reader,
        ):
            for child in (generator, reader):
                child.wait_for(lambda status: status.ready, READY_S_MAX, lambda _: None)
            schedule = Schedule(monotonic_ns() + LEAD_NS, rate, blobs)
            generator.send(Begin(begin_ns=schedule.begin_ns))
            sleep(LEAD_NS / NS)
            yield RunningLoad(generator, reader, schedule, first, reader_order)

    def _await_reader(self, load: RunningLoad, blobs: int) -> Status:
        """Wait for all results; results that do not arrive within `GRACE_S` count as missing."""
        activity = "the remaining results"
        try:
            return load.reader.wait_for(
                lambda status: status.done, GRACE_S, lambda status: self._tick(activity, status, blobs)
            )
        except Overdue:
            load.reader.send(Stop(blobs=0))
            return load.reader.wait_for(lambda status: status.done, GRACE_S, lambda _: None)

    def _run_for(self, load: RunningLoad, activity: str, seconds: float) -> None:
        """Let the load run for a while."""
        until_ns = max(monotonic_ns(), load.schedule.begin_ns) + int(seconds * NS)
        while monotonic_ns() < until_ns:
            load.reader.poll()
            self._tick(activity, load.generator.poll(0.05), load.schedule.blobs)

    def _tick(self, activity: str, status: Status, blobs: int) -> None:
        self._on_progress(activity, status.count, blobs)
        if self._worker is not None:
            self._worker.check()


def _start_usage(usage: ResourceUsage | None) -> float:
    """Reset the memory peak; return the processor time so far."""
    if usage is None:
        return 0.0
    usage.peak_mib = 0.0
    return usage.sample()


def _cores(usage: ResourceUsage | None, before_s: float, elapsed_ns: int) -> float | None:
    if usage is None:
        return None
    return (usage.sample() - before_s) * NS / elapsed_ns


def recovery_times(
    load: RunningLoad, arrivals: Arrivals, killed_ns: int, ends: Mapping[int, int]
) -> RecoveryTimes:
    """Return the times of a recovery. `ends`: partition -> end of the result topic after the kill."""
    first_new_ns: dict[int, int] = {}  # partition -> arrival of its first result after the kill
    longest_before_ns = worst_ns = 0
    caught_up_ns = killed_ns
    latencies = load.latencies_ns(arrivals)
    for latency_ns, time_ns, partition, offset in zip(
        latencies, arrivals.times_ns, arrivals.partitions, arrivals.offsets, strict=True
    ):
        worst_ns = max(worst_ns, latency_ns)
        if time_ns < killed_ns:
            longest_before_ns = max(longest_before_ns, latency_ns)
        elif offset >= ends[partition]:
            first_new_ns.setdefault(partition, time_ns)
            if latency_ns > LATE_FACTOR * longest_before_ns:
                caught_up_ns = time_ns
    first, last = (
        min(first_new_ns.values(), default=killed_ns),
        max(first_new_ns.values(), default=killed_ns),
    )
    return RecoveryTimes(
        (first - killed_ns) / NS, (last - killed_ns) / NS, (caught_up_ns - killed_ns) / NS, worst_ns / 1e6
    )
