import sys


class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        sys.exit(3)
