class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        raise ZeroDivisionError("at once")
