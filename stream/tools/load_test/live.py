"""A load that comes in at a rate while results are read: latency, and recovery after a kill."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns, sleep

from stream.tools.child_environment import child_environment
from stream.tools.load_test.child import Child, Overdue
from stream.tools.load_test.environment import LoadTestEnvironment
from stream.tools.load_test.figures import Load, RecoveryTimes
from stream.tools.load_test.latency import summarize
from stream.tools.load_test.messages import Begin, GeneratorOrder, ReaderOrder, Said, Stop
from stream.tools.load_test.order import Order, Tell
from stream.tools.load_test.reader import Arrivals
from stream.tools.load_test.schedule import NS, Schedule
from stream.tools.load_test.texts import Recipe
from stream.tools.load_test.usage import Usage
from stream.tools.load_test.worker_under_test import WorkerUnderTest

RUN_S = 0.005  # as long blobs go to one partition: a batch, as of a sticky partitioner, not one on each
LEAD_NS = NS // 2  # from the word to begin until the first blob is due
READY_S_MAX, SEND_S_MAX, GRACE_S = 120.0, 300.0, 60.0
BEFORE_S, AFTER_S, RECOVER_S_MAX = 3.0, 2.0, 150.0
LATE_TIMES = 2  # the longest latency before a kill: beyond it a result is late because of it


@dataclass(slots=True)
class Flow:
    """A generator and a reader at work.

    Attributes:
        begin_ns: when the first blob is due.
    """

    generator: Child
    reader: Child
    schedule: Schedule
    first: int
    reader_order: ReaderOrder

    def arrivals(self) -> Arrivals:
        """Return what the reader saw, once it is done."""
        return Arrivals.load(self.reader_order.file)

    def latencies_ns(self, arrivals: Arrivals, skipped: int = 0) -> Iterator[int]:
        """Yield the latencies in the order of arrival, without those of the first `skipped` blobs."""
        for number, time_ns in zip(arrivals.numbers, arrivals.times_ns, strict=True):
            at = number - self.first
            if at >= skipped:
                yield time_ns - self.schedule.due_ns(at)


class Live:
    """Loads on one cell, one after the other; blobs are numbered on.

    Attributes:
        sent: blobs so far.
    """

    def __init__(
        self, cell: LoadTestEnvironment, subject: WorkerUnderTest | None, recipe: Recipe, tell: Tell
    ) -> None:
        self._cell = cell
        self._subject = subject
        self._recipe = recipe
        self._tell = tell
        self.sent = 0

    def latency(self, rate: float, order: Order, words_per_blob_mean: float) -> Load:
        """Measure the latency at a rate.

        Raises:
            Fatal: generator, reader or worker failed.
        """
        what = f"latency at {rate:,.0f} blobs/s"
        warm = int(rate * order.warmup_s)
        blobs = max(1, warm + int(rate * order.duration_s))
        usage = None if self._subject is None else self._subject.usage
        with self._flow(rate, blobs, what) as flow:
            before_s, began_ns = _begin_usage(usage), monotonic_ns()
            flow.generator.wait_for(
                lambda said: said.count >= blobs,
                blobs / rate + SEND_S_MAX,
                lambda said: self._tick(what, said, blobs),
            )
            cores = _cores(usage, before_s, monotonic_ns() - began_ns)
            said = flow.generator.wait_for(lambda said: said.done, SEND_S_MAX, lambda _: None)
            self.sent += said.count
            flow.reader.tell(Stop(blobs=said.count))
            seen = self._await_reader(flow, said.count)
            arrivals = flow.arrivals()
        last_due_ns = flow.schedule.due_ns(blobs - 1)
        return Load(
            rate=rate,
            achieved_rate=said.count / said.seconds,
            words_per_blob=self._recipe.words_per_blob,
            words_per_s=rate * words_per_blob_mean,
            blobs=said.count,
            missing=said.count - seen.count,
            latency=summarize(flow.latencies_ns(arrivals, warm)),
            late_p99_ms=said.late_p99_ms,
            late_max_ms=said.late_max_ms,
            taken_p99_ms=said.taken_p99_ms,
            drain_s=max(0.0, (max(arrivals.times_ns, default=last_due_ns) - last_due_ns) / NS),
            cpu_cores=cores,
            peak_mib=usage.peak_mib if usage else None,
        )

    def recovery(self, rate: float) -> RecoveryTimes:
        """Kill the subject under load, start it again, and measure until all is as before.

        Raises:
            Fatal: it did not come back in time, or generator or reader failed.
        """
        assert self._subject is not None
        what, blobs = "recovery", int(rate * (BEFORE_S + RECOVER_S_MAX + AFTER_S))
        with self._flow(rate, blobs, what) as flow:
            self._pass(flow, what, BEFORE_S)
            killed_ns = monotonic_ns()
            self._subject.kill()
            # Whatever is new lies beyond; what a dead transaction left is aborted and never seen.
            ends = self._cell.log_ends(self._cell.settings.result_topic)
            self._subject.start()
            flow.reader.wait_for(
                lambda said: all(said.ends.get(p, 0) > end for p, end in ends.items()),
                RECOVER_S_MAX,
                lambda said: self._tick(what, said, blobs),
            )
            self._pass(flow, what, AFTER_S)
            flow.generator.tell(Stop(blobs=0))
            said = flow.generator.wait_for(lambda said: said.done, SEND_S_MAX, lambda _: None)
            self.sent += said.count
            flow.reader.tell(Stop(blobs=said.count))
            self._await_reader(flow, said.count)
            arrivals = flow.arrivals()
        return recovery_times(flow, arrivals, killed_ns, ends)

    @contextmanager
    def _flow(self, rate: float, blobs: int, what: str) -> Iterator[Flow]:
        cell, first = self._cell, self.sent
        env = child_environment(cell.settings)
        generator_order = GeneratorOrder(
            prefix=cell.prefix,
            recipe=self._recipe,
            partitions=cell.partitions,
            first=first,
            blobs=blobs,
            rate=rate,
            run=max(1, round(rate * RUN_S)),
        )
        reader_order = ReaderOrder(
            prefix=cell.prefix,
            start=cell.result_ends(),
            first=first,
            blobs=blobs,
            file=cell.folder / f"arrivals-{first}",
        )
        self._tell(f"{what}: texts", 0, blobs)
        with (
            Child(
                "stream.tools.load_test.generator", generator_order, env, cell.folder / "generator.log"
            ) as generator,
            Child("stream.tools.load_test.reader", reader_order, env, cell.folder / "reader.log") as reader,
        ):
            for child in (generator, reader):
                child.wait_for(lambda said: said.ready, READY_S_MAX, lambda _: None)
            schedule = Schedule(monotonic_ns() + LEAD_NS, rate, blobs)
            generator.tell(Begin(begin_ns=schedule.begin_ns))
            sleep(LEAD_NS / NS)
            yield Flow(generator, reader, schedule, first, reader_order)

    def _await_reader(self, flow: Flow, blobs: int) -> Said:
        """Wait for all results; what is not there after a while is missing."""
        what = "the rest of the results"
        try:
            return flow.reader.wait_for(
                lambda said: said.done, GRACE_S, lambda said: self._tick(what, said, blobs)
            )
        except Overdue:
            flow.reader.tell(Stop(blobs=0))
            return flow.reader.wait_for(lambda said: said.done, GRACE_S, lambda _: None)

    def _pass(self, flow: Flow, what: str, seconds: float) -> None:
        """Let it go on for a while."""
        until_ns = max(monotonic_ns(), flow.schedule.begin_ns) + int(seconds * NS)
        while monotonic_ns() < until_ns:
            flow.reader.look()
            self._tick(what, flow.generator.look(0.05), flow.schedule.blobs)

    def _tick(self, what: str, said: Said, blobs: int) -> None:
        self._tell(what, said.count, blobs)
        if self._subject is not None:
            self._subject.check()


def _begin_usage(usage: Usage | None) -> float:
    """Return the processor time so far; the peak of memory begins anew."""
    if usage is None:
        return 0.0
    usage.peak_mib = 0.0
    return usage.look()


def _cores(usage: Usage | None, before_s: float, elapsed_ns: int) -> float | None:
    if usage is None:
        return None
    return (usage.look() - before_s) * NS / elapsed_ns


def recovery_times(flow: Flow, arrivals: Arrivals, killed_ns: int, ends: Mapping[int, int]) -> RecoveryTimes:
    """Return when results came again. `ends`: partition -> where the results' log ended after the kill."""
    again: dict[int, int] = {}
    longest_before_ns = worst_ns = 0
    caught_up_ns = killed_ns
    latencies = flow.latencies_ns(arrivals)
    for latency_ns, time_ns, partition, offset in zip(
        latencies, arrivals.times_ns, arrivals.partitions, arrivals.offsets, strict=True
    ):
        worst_ns = max(worst_ns, latency_ns)
        if time_ns < killed_ns:
            longest_before_ns = max(longest_before_ns, latency_ns)
        elif offset >= ends[partition]:
            again.setdefault(partition, time_ns)
            if latency_ns > LATE_TIMES * longest_before_ns:
                caught_up_ns = time_ns
    first, last = min(again.values(), default=killed_ns), max(again.values(), default=killed_ns)
    return RecoveryTimes(
        (first - killed_ns) / NS, (last - killed_ns) / NS, (caught_up_ns - killed_ns) / NS, worst_ns / 1e6
    )
