class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        return [text]
