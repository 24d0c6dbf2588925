"""A correct orchestrator that is slower than it reports."""

import time

from stream.exercise.orchestrator import Result
from stream.exercise.orchestrator import TaskOrchestrator as Pipeline


class TaskOrchestrator(Pipeline):
    def process_text(self, text: str) -> Result:
        time.sleep(0.05)
        return {"runtime": 0.0, "anagram_counts": super().process_text(text)["anagram_counts"]}
