"""Right, and a coroutine."""

from stream.pipeline.orchestrator import Result
from stream.pipeline.orchestrator import TaskOrchestrator as Pipeline


class TaskOrchestrator:
    async def process_text(self, text: str) -> Result:
        return await Pipeline().process(text)
