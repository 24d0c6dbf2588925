import os
import signal


class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        os.kill(os.getpid(), signal.SIGSEGV)
        return None
