import os
import sys


class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        sys.stderr.write("the last line of its output\n")
        sys.stderr.flush()
        os._exit(4)
