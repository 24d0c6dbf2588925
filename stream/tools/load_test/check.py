"""Whether all that came out of a load is right: every blob's result once, its counts, the totals."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stream.kafka.clients import reader_options
from stream.kafka.reader import StoredRecord, read_topic
from stream.tools.load_test.environment import LoadTestEnvironment
from stream.tools.load_test.truth import Truth, source_partition

SENTENCES_MAX = 10
_TELL_EVERY = 2_000


@dataclass(slots=True)
class Checked:
    """What was found.

    Attributes:
        blobs: that were sent; missing: those without a result.
        duplicated: results beyond the first of a blob.
        wrong: results with other counts than the definition's, or on another partition than the blob.
        dead_letters: none of the texts deserves one.
        totals: signatures whose total is not that of the blobs; None: not looked at, they are not ours alone.
        words: of the results that lie below the offsets asked about.
    """

    blobs: int
    results: int = 0
    missing: int = 0
    duplicated: int = 0
    wrong: int = 0
    dead_letters: int = 0
    totals: int | None = None
    words: int = 0
    sentences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.duplicated or self.wrong or self.dead_letters or self.totals)

    def differ(self, sentence: str) -> None:
        """Keep a sentence while there is room."""
        if len(self.sentences) < SENTENCES_MAX:
            self.sentences.append(sentence)


class Checker:
    """Reads what is committed on a cell, and compares it with the truth about its first `blobs`."""

    def __init__(self, cell: LoadTestEnvironment, truth: Truth, blobs: int) -> None:
        self._cell = cell
        self._truth = truth
        self._checked = Checked(blobs)

    def run(
        self,
        tell: Callable[[int], None],
        *,
        start: Mapping[int, int] | None = None,
        below: Mapping[int, int] | None = None,
    ) -> Checked:
        """Check all; `tell` hears how many results were read.

        `start`: partition -> where the results of this load begin. `below`: of results below these offsets
        the words are counted.

        Raises:
            Retriable: the broker is away.
        """
        self._results(tell, dict(start or {}), below or {})
        if self._cell.own:
            self._letters()
            self._totals()
        return self._checked

    def _results(self, tell: Callable[[int], None], start: dict[int, int], below: Mapping[int, int]) -> None:
        checked, prefix = self._checked, self._cell.prefix.encode()
        seen = bytearray(checked.blobs)
        for record in self._read(self._cell.settings.result_topic, start):
            key = record.key or b""
            if not key.startswith(prefix):
                continue
            number = int(key[len(prefix) :])
            checked.results += 1
            if number >= checked.blobs:
                checked.wrong += 1
                checked.differ(f"there is a result of blob {number}, which was not sent")
                continue
            if seen[number]:
                checked.duplicated += 1
                checked.differ(f"blob {number} has a second result")
            seen[number] = 1
            self._one(number, record)
            if record.offset < below.get(record.partition, 0):
                checked.words += self._truth.words_of(number)
            if checked.results % _TELL_EVERY == 0:
                tell(checked.results)
        checked.missing = seen.count(0)
        if checked.missing:
            checked.differ(f"{checked.missing} blobs have no result, the first is {seen.index(0)}")

    def _one(self, number: int, record: StoredRecord) -> None:
        value = record.value or b""
        if source_partition(value) != record.partition or not self._truth.is_right(number, value):
            self._checked.wrong += 1
            self._checked.differ(f"the result of blob {number} is not what the definition gives")

    def _letters(self) -> None:
        for record in self._read(self._cell.settings.dead_letter_topic):
            reason = dict(record.headers).get("dead-letter.reason") or b""
            self._checked.dead_letters += 1
            self._checked.differ(f"a blob was rejected: {reason.decode(errors='replace')}")

    def _totals(self) -> None:
        last: dict[tuple[int, bytes], int] = {}
        for record in self._read(self._cell.settings.count_topic):
            last[record.partition, record.key or b""] = int(record.value or b"0")
        found: Counter[str] = Counter()
        for (_, raw), total in last.items():
            found[raw.decode()] += total
        wanted = self._truth.totals(self._checked.blobs)
        self._checked.totals = 0
        for key in found.keys() | wanted.keys():
            if found[key] != wanted[key]:
                self._checked.totals += 1
                self._checked.differ(f"the total of {key} is {found[key]}, the blobs give {wanted[key]}")

    def _read(self, topic: str, start: dict[int, int] | None = None) -> Iterator[StoredRecord]:
        return read_topic(reader_options(self._cell.settings), self._cell.admin, topic, start=start)
