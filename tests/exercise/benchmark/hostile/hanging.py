import time


class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        while True:
            time.sleep(1)
