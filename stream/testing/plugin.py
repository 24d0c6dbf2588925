"""The fake stream as a pytest fixture: test producers and consumers of these topics without a broker.

def test_my_texts(anagram_stream):
    anagram_stream.submit("Listen, silent cat", key="a")
    anagram_stream.run()
    assert anagram_stream.results()[0]["anagram_counts"]["cat"] == 1
    assert anagram_stream.totals() == {"eilnst": 2, "act": 1}
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from stream.config import Settings
from stream.core.anagrams import AnagramFold
from stream.core.codec import ResultEncoder
from stream.core.dictionary import build_index
from stream.core.engine import Engine
from stream.core.lexicon import Lexicon, make_lexicon
from stream.core.records import Header
from stream.dictionary import load_lexicon
from stream.errors import Retriable
from stream.testing.faults import Faults, Moment
from stream.testing.names import Names
from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess

FRAMING_BYTES_MAX = 64 * 1024  # added to a result: its key, its headers and Kafka's framing
HeaderValue = str | bytes | None
HeadersGiven = Mapping[str, HeaderValue] | Sequence[tuple[str, HeaderValue]]


class FakeStream:
    """The four topics on a fake cluster, and the real worker.

    Attributes:
        pipeline: the topics, with more queries.
        worker: the worker; `crash` replaces it.
    """

    def __init__(self, partitions: int = 2, words: Iterable[str] | None = None) -> None:
        """`words` are the dictionary, as in STREAM_DICTIONARY; the default is the default of the setting."""
        self.pipeline = FakePipeline(partitions, fold=_default_fold(words))
        self._faults = Faults()
        self.worker = self._start()

    def submit(
        self,
        value: str | bytes | None,
        *,
        key: str | bytes | None = None,
        headers: HeadersGiven = (),
        partition: int = 0,
    ) -> int:
        """Append a blob to the input topic, as a producer does; return its offset.

        Raises:
            TypeError: a part of the record has a type that no producer sends.
            ValueError: the input has no such partition.
        """
        if partition not in range(self.pipeline.partitions):
            last = self.pipeline.partitions - 1
            raise ValueError(f"no partition {partition}: the input has partitions 0 to {last}")
        topic, pairs = self.pipeline.names.input, _pairs(headers)
        return self.pipeline.cluster.produce(
            topic, partition, _bytes("value", value), _bytes("key", key), pairs
        )

    def run(self) -> None:
        """Run the worker until the outcomes of all input are committed."""
        self.pipeline.drain(self.worker)

    def crash(self) -> None:
        """Kill the worker, and start a new one on its disk."""
        disks = self.worker.stores.disks
        self.worker.crash()
        self.worker = self._start(disks)

    def fail_once(self, call: str) -> None:
        """Let the next such call of the worker fail transiently, for example `sink.reset_producer`."""
        self._faults.plan(call, Moment.BEFORE, Retriable(f"{call}: planned"))

    def results(self, partition: int | None = None) -> list[dict[str, Any]]:
        """Return the committed results, as a read_committed consumer sees them."""
        return [result for p in self._of(partition) for result in self.pipeline.results(p)]

    def dead_letters(self, partition: int | None = None) -> list[dict[str, str]]:
        """Return the headers of the committed dead letters."""
        return [letter for p in self._of(partition) for letter in self.pipeline.dead_letters(p)]

    def totals(self) -> Mapping[str, int]:
        """Return the committed total of each signature, summed over the partitions."""
        totals: Counter[str] = Counter()
        for partition in self._of(None):
            totals.update(self.pipeline.totals(partition))
        return totals

    def _of(self, partition: int | None) -> range:
        return range(self.pipeline.partitions) if partition is None else range(partition, partition + 1)

    def _start(self, disks: Any = None) -> FakeProcess:  # noqa: ANN401 - the disks of the last worker
        pipeline = self.pipeline
        return FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold, disks=disks, faults=self._faults)


def _bytes(part: str, given: object) -> bytes | None:
    if isinstance(given, str):
        return given.encode()
    if given is None or isinstance(given, bytes):
        return given
    raise TypeError(f"the {part} of a record must be str, bytes or None, not {type(given).__name__}")


def _pairs(given: HeadersGiven) -> list[Header]:
    pairs = list[Header]()
    for pair in given.items() if isinstance(given, Mapping) else given:
        match pair:
            case (str() as name, value):
                pairs.append((name, _bytes(f"header {name}", value)))
            case _:
                raise TypeError(f"headers must be a dict or pairs of name and value; {pair!r} is not a pair")
    return pairs


@cache
def _default_lexicon() -> Lexicon:
    return load_lexicon(None)


def _default_fold(words: Iterable[str] | None) -> AnagramFold:
    """Return the fold of a worker with default settings."""
    text_max, result_max = (Settings.model_fields[f"{name}_bytes_max"].default for name in ("text", "result"))
    lexicon = _default_lexicon() if words is None else make_lexicon(build_index(words))
    encoder = ResultEncoder(Names().results, result_max, result_max + FRAMING_BYTES_MAX)
    return AnagramFold(Engine(lexicon), encoder, "text", text_max)


@pytest.fixture
def anagram_stream() -> FakeStream:
    """A fake stream with two partitions and the default dictionary; create others with `FakeStream(…)`."""
    return FakeStream()
