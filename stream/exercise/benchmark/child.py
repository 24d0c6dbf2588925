"""The process in which an orchestrator is measured, started by `isolated` with a socket's descriptor.

It takes orders from a socket and answers there, so that whatever the orchestrator prints harms nothing. It
shows its own figures; whether the counts are right is judged by who ordered them.
"""

import asyncio
import gc
import inspect
import reprlib
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from math import isfinite
from numbers import Integral, Real
from time import perf_counter, process_time
from typing import Any

import psutil

from stream.exercise import stages as in_use
from stream.exercise.benchmark.loading import orchestrator_class, sentence
from stream.exercise.benchmark.memory import forget_peak, held_mib, peak_mib, used_below_s
from stream.exercise.benchmark.messages import (
    Began,
    CaseDone,
    Job,
    NotLoaded,
    Order,
    Ran,
    Ready,
    Said,
    StageFigures,
    read_order,
    said_line,
)  # fmt: skip
from stream.exercise.faults import Faults, load_plan
from stream.exercise.stages import Stages, default_index


def main() -> None:
    """Make the orchestrator, then run cases until there are no more orders."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave in order
    channel = socket.socket(fileno=int(sys.argv[1]))
    orders = channel.makefile("rb")

    def say(said: Said) -> None:
        channel.sendall(said_line(said))

    job = read_order(orders.readline(), Job)
    try:
        measured = _Measured(job)
    except BaseException as error:  # noqa: BLE001 - a stranger's code; also its sys.exit
        say(NotLoaded(why=sentence(error)))
        return
    say(Ready())
    with asyncio.Runner() as runner:
        runner.get_loop()  # made now, not within the first run
        for line in orders:
            measured.case(read_order(line, Order), runner, say)


class _Measured:
    """An orchestrator and the stages that it is to work on."""

    def __init__(self, job: Job) -> None:
        made = orchestrator_class(job.contestant)
        self._index = default_index()
        self._plan = load_plan(job.faults)
        self._process = psutil.Process()
        in_use.use(self._stages(job.seed))  # a constructor may ask
        self._orchestrator = made()
        gc.collect()
        gc.freeze()  # the dictionary is not looked through again by each collection

    def case(self, order: Order, runner: asyncio.Runner, say: Callable[[Said], None]) -> None:
        """Run a case, and say what came of each run."""
        figures: dict[str, StageFigures] = {}
        held_before = held_mib(self._process)
        for number in range(order.iterations):
            stages = self._stages(order.seed + number)
            in_use.use(stages)
            say(Began())
            say(self._run(order.text, runner))
            for stage, stats in stages.stats.items():
                figures[stage] = figures.get(stage, StageFigures()).plus(stats)
        gc.collect()
        say(CaseDone(growth_mib=held_mib(self._process) - held_before, stages=figures))

    def _run(self, text: str, runner: asyncio.Runner) -> Ran:
        gc.collect()  # what the last run left is not this one's
        forget_peak()
        below_s = used_below_s(self._process)
        own_s, began = process_time(), perf_counter()
        try:
            answer = self._orchestrator.process_text(text)
            if inspect.isawaitable(answer):
                answer = runner.run(_awaited(answer))
            failed = ""
        except BaseException as error:  # noqa: BLE001 - a stranger's code; also its sys.exit
            answer, failed = None, sentence(error)
        runtime_ms = (perf_counter() - began) * 1000
        cpu_s = process_time() - own_s + used_below_s(self._process) - below_s
        peak = max(peak_mib(), held_mib(self._process))
        counts, why = (None, failed) if failed else _read(answer)
        return Ran(counts=counts, why=why, runtime_ms=runtime_ms, cpu_s=cpu_s, peak_mib=peak)

    def _stages(self, seed: int) -> Stages:
        return Stages(self._index, None if self._plan is None else Faults(self._plan, seed))


async def _awaited(answer: Awaitable[Any]) -> Any:  # noqa: ANN401 - a stranger's
    return await answer


def _read(answer: object) -> tuple[dict[str, int] | None, str]:
    try:
        return counts_of(answer)
    except BaseException as error:  # noqa: BLE001 - a stranger's mapping
        return None, f"what it returned cannot be read: {sentence(error)}"


def counts_of(answer: object) -> tuple[dict[str, int] | None, str]:
    """Return the counts of what `process_text` returned, or what is wrong with it."""
    if not isinstance(answer, Mapping) or not {"runtime", "anagram_counts"} <= answer.keys():
        shown = reprlib.repr(answer)
        return None, f'it returned {shown}, not {{"runtime": milliseconds, "anagram_counts": {{word: n}}}}'
    runtime, counts = answer["runtime"], answer["anagram_counts"]
    if isinstance(runtime, bool) or not isinstance(runtime, Real) or not isfinite(runtime) or runtime < 0:
        return None, f"its runtime is {reprlib.repr(runtime)}, not milliseconds"
    if not isinstance(counts, Mapping):
        return None, f"its anagram_counts are {reprlib.repr(counts)}, not {{word: n}}"
    for word, n in counts.items():
        if not isinstance(word, str) or isinstance(n, bool) or not isinstance(n, Integral):
            return (
                None,
                f"its anagram_counts hold {reprlib.repr(word)}: {reprlib.repr(n)}, not a word and a number",
            )
    return {str(word): int(n) for word, n in counts.items()}, ""
