"""The process in which an orchestrator is measured; `orchestrator_process` starts it with a socket.

Orders and reports use the socket, so that output of the orchestrator cannot interfere with them. The process
reports figures and counts; its parent checks the counts.
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

from stream.exercise import stages as current_stages
from stream.exercise.benchmark.loading import error_line, orchestrator_class
from stream.exercise.benchmark.memory import children_cpu_s, peak_mib, reset_peak, resident_mib
from stream.exercise.benchmark.messages import (
    CaseEnded,
    CaseOrder,
    NotLoaded,
    OrchestratorOrder,
    Ready,
    Report,
    RunEnded,
    RunStarted,
    StageFigures,
)
from stream.exercise.faults import Faults, load_plan
from stream.exercise.stages import Stages, default_index
from stream.json_lines import decode_line, encode_line


def main() -> None:
    """Construct the orchestrator, then run cases until the socket is closed."""
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # clean shutdown: exit handlers of the orchestrator run
    channel = socket.socket(fileno=int(sys.argv[1]))
    orders = channel.makefile("rb")

    def report(message: Report) -> None:
        channel.sendall(encode_line(message))

    order = decode_line(orders.readline(), OrchestratorOrder)
    try:
        measured = _Measured(order)
    except BaseException as error:  # noqa: BLE001 - foreign code, including sys.exit
        report(NotLoaded(why=error_line(error)))
        return
    report(Ready())
    with asyncio.Runner() as runner:
        runner.get_loop()  # created here, not within the first run
        for line in orders:
            measured.run_case(decode_line(line, CaseOrder), runner, report)


class _Measured:
    """An orchestrator and the stages that it uses."""

    def __init__(self, order: OrchestratorOrder) -> None:
        construct = orchestrator_class(order.orchestrator)
        self._index = default_index()
        self._plan = load_plan(order.faults)
        self._process = psutil.Process()
        current_stages.use(self._stages(order.seed))  # the constructor may use them
        self._orchestrator = construct()
        gc.collect()
        gc.freeze()  # so that collections do not traverse the dictionary again

    def run_case(self, order: CaseOrder, runner: asyncio.Runner, report: Callable[[Report], None]) -> None:
        """Run a case and report each run."""
        figures: dict[str, StageFigures] = {}
        memory_before = resident_mib(self._process)
        for number in range(order.iterations):
            stages = self._stages(order.seed + number)
            current_stages.use(stages)
            report(RunStarted())
            report(self._run(order.text, runner))
            for stage, stats in stages.stats.items():
                figures[stage] = figures.get(stage, StageFigures()).plus(stats)
        gc.collect()
        report(CaseEnded(growth_mib=resident_mib(self._process) - memory_before, stages=figures))

    def _run(self, text: str, runner: asyncio.Runner) -> RunEnded:
        gc.collect()  # garbage of the previous run does not count for this one
        reset_peak()
        children_s = children_cpu_s(self._process)
        own_s, began = process_time(), perf_counter()
        try:
            result = self._orchestrator.process_text(text)
            if inspect.isawaitable(result):
                result = runner.run(_await(result))
            failed = ""
        except BaseException as error:  # noqa: BLE001 - foreign code, including sys.exit
            result, failed = None, error_line(error)
        runtime_ms = (perf_counter() - began) * 1000
        cpu_s = process_time() - own_s + children_cpu_s(self._process) - children_s
        peak = max(peak_mib(), resident_mib(self._process))
        counts, why = (None, failed) if failed else _read_counts(result)
        return RunEnded(counts=counts, why=why, runtime_ms=runtime_ms, cpu_s=cpu_s, peak_mib=peak)

    def _stages(self, seed: int) -> Stages:
        return Stages(self._index, None if self._plan is None else Faults(self._plan, seed))


async def _await(result: Awaitable[Any]) -> Any:  # noqa: ANN401 - of foreign code
    return await result


def _read_counts(result: object) -> tuple[dict[str, int] | None, str]:
    try:
        return counts_of(result)
    except BaseException as error:  # noqa: BLE001 - a mapping of foreign code
        return None, f"its result cannot be read: {error_line(error)}"


def counts_of(result: object) -> tuple[dict[str, int] | None, str]:
    """Return the counts in a result of `process_text`, or None and what is wrong with the result."""
    if not isinstance(result, Mapping) or not {"runtime", "anagram_counts"} <= result.keys():
        shown = reprlib.repr(result)
        return None, f'it returned {shown}, not {{"runtime": milliseconds, "anagram_counts": {{word: n}}}}'
    runtime, counts = result["runtime"], result["anagram_counts"]
    if isinstance(runtime, bool) or not isinstance(runtime, Real) or not isfinite(runtime) or runtime < 0:
        return None, f"its runtime is {reprlib.repr(runtime)}, not a number of milliseconds"
    if not isinstance(counts, Mapping):
        return None, f"its anagram_counts are {reprlib.repr(counts)}, not {{word: n}}"
    for word, n in counts.items():
        if not isinstance(word, str) or isinstance(n, bool) or not isinstance(n, Integral):
            return (
                None,
                f"its anagram_counts have {reprlib.repr(word)}: {reprlib.repr(n)}, not a word and a number",
            )
    return {str(word): int(n) for word, n in counts.items()}, ""
