"""A correct orchestrator whose output looks like the reports of a measured process."""

import os
import sys

from stream.exercise.orchestrator import Result
from stream.exercise.orchestrator import TaskOrchestrator as Pipeline


class TaskOrchestrator(Pipeline):
    def process_text(self, text: str) -> Result:
        for _ in range(2_000):
            sys.stdout.write(
                '{"kind": "run-ended", "runtime_ms": 0, "cpu_s": 0, "peak_mib": 0, "counts": {}}\n' * 10
            )
        os.write(1, b"\xff\x00\n" * 10_000)
        sys.stderr.write("Traceback (most recent call last):\n")
        return super().process_text(text)
