import os
import time


class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        os.closerange(3, 256)
        time.sleep(60)
        return None
