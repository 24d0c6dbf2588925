"""Checks the output of a load: exactly one result per blob, its counts, the totals."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stream.core.processed_offset import PROCESSED_KEY
from stream.kafka.clients import reader_options
from stream.tools.kafka.topic_reader import StoredRecord, read_topic
from stream.tools.load_test.environment import LoadTestEnvironment
from stream.tools.load_test.expected_output import ExpectedOutput, source_partition

SENTENCES_MAX = 10
_PROGRESS_RESULTS = 2_000  # between two calls of `on_progress`


@dataclass(slots=True)
class OutputCheck:
    """The outcome of a check.

    Attributes:
        blobs: blobs that were sent.
        results: results that were read.
        missing: blobs without a result.
        duplicated: results beyond the first of a blob.
        wrong: results with wrong counts, or on a different partition than their blob.
        dead_letters: dead letters; no text should be rejected.
        totals: signatures with a wrong total; None if not checked because the topics have other input too.
        words: words of the results below the given offsets.
        sentences: descriptions of the first differences.
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
        """Whether the output is correct."""
        return not (self.missing or self.duplicated or self.wrong or self.dead_letters or self.totals)

    def differ(self, sentence: str) -> None:
        """Add the description of a difference, up to `SENTENCES_MAX`."""
        if len(self.sentences) < SENTENCES_MAX:
            self.sentences.append(sentence)


class OutputChecker:
    """Compares the committed output with the expected output of the first `blobs` blobs."""

    def __init__(self, environment: LoadTestEnvironment, expected: ExpectedOutput, blobs: int) -> None:
        self._environment = environment
        self._expected = expected
        self._check = OutputCheck(blobs)

    def run(
        self,
        on_progress: Callable[[int], None],
        *,
        start: Mapping[int, int] | None = None,
        below: Mapping[int, int] | None = None,
    ) -> OutputCheck:
        """Check all output; call `on_progress` with the number of results read.

        Args:
            on_progress: takes the number of results.
            start: partition -> first offset of the results of this load.
            below: partition -> offset below which the words of the results are counted.

        Raises:
            Retriable: the broker is unavailable.
        """
        self._check_results(on_progress, dict(start or {}), below or {})
        if self._environment.own:
            self._check_dead_letters()
            self._check_totals()
        return self._check

    def _check_results(
        self, on_progress: Callable[[int], None], start: dict[int, int], below: Mapping[int, int]
    ) -> None:
        check, prefix = self._check, self._environment.prefix.encode()
        seen = bytearray(check.blobs)
        for record in self._read(self._environment.settings.result_topic, start):
            key = record.key or b""
            if not key.startswith(prefix):
                continue
            number = int(key[len(prefix) :])
            check.results += 1
            if number >= check.blobs:
                check.wrong += 1
                check.differ(f"a result names blob {number}, which was not sent")
                continue
            if seen[number]:
                check.duplicated += 1
                check.differ(f"blob {number} has a second result")
            seen[number] = 1
            self._check_counts(number, record)
            if record.offset < below.get(record.partition, 0):
                check.words += self._expected.words_of(number)
            if check.results % _PROGRESS_RESULTS == 0:
                on_progress(check.results)
        check.missing = seen.count(0)
        if check.missing:
            check.differ(f"blobs without a result: {check.missing}, the first is blob {seen.index(0)}")

    def _check_counts(self, number: int, record: StoredRecord) -> None:
        value = record.value or b""
        if source_partition(value) != record.partition or not self._expected.is_right(number, value):
            self._check.wrong += 1
            self._check.differ(f"the result of blob {number} differs from the definition")

    def _check_dead_letters(self) -> None:
        for record in self._read(self._environment.settings.dead_letter_topic):
            reason = dict(record.headers).get("dead-letter.reason") or b""
            self._check.dead_letters += 1
            self._check.differ(f"a blob was rejected: {reason.decode(errors='replace')}")

    def _check_totals(self) -> None:
        last: dict[tuple[int, bytes], int] = {}
        for record in self._read(self._environment.settings.count_topic):
            if record.key != PROCESSED_KEY:
                last[record.partition, record.key or b""] = int(record.value or b"0")
        totals: Counter[str] = Counter()
        for (_, signature), total in last.items():
            totals[signature.decode()] += total
        expected = self._expected.totals(self._check.blobs)
        self._check.totals = 0
        for key in totals.keys() | expected.keys():
            if totals[key] != expected[key]:
                self._check.totals += 1
                self._check.differ(f"the total of {key} is {totals[key]}, the blobs sum to {expected[key]}")

    def _read(self, topic: str, start: dict[int, int] | None = None) -> Iterator[StoredRecord]:
        return read_topic(
            reader_options(self._environment.settings), self._environment.admin, topic, start=start
        )
