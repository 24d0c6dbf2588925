"""A correct orchestrator that is a coroutine."""

from stream.exercise.orchestrator import Result
from stream.exercise.orchestrator import TaskOrchestrator as Pipeline


class TaskOrchestrator:
    async def process_text(self, text: str) -> Result:
        return await Pipeline().process(text)
