"""Single results as a worker produces them."""

from stream.core.codec import ResultEncoder
from stream.core.dictionary import AnagramIndex
from stream.core.engine import Engine
from stream.core.lexicon import make_lexicon
from stream.core.records import InputRecord, OutputRecord


class Results:
    """Makes results from one dictionary; blob `n` has the id `bn`."""

    def __init__(self, index: AnagramIndex) -> None:
        self.engine = Engine(make_lexicon(index))
        self._encoder = ResultEncoder("out", 10**6, 10**6)

    def make(self, number: int, text: str, partition: int) -> OutputRecord:
        """Return the result of a text in a partition."""
        counted = self.engine.count([text.encode()])
        record = InputRecord("in", partition, number, None, b"", [])
        return self._encoder.encode(record, f"b{number}", counted.counts_json[0], counted.words[0])
