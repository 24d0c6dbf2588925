class TaskOrchestrator:
    def __init__(self) -> None:
        raise OSError("no such thing\nas that")

    def process_text(self, text: str) -> object:
        return text
