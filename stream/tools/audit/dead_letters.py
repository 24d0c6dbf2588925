"""Indexes dead letters by their rejected input record, on disk, so that any number of them fits."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.core.codec import read_text_limit
from stream.core.replay import read_replayed
from stream.core.skipped import SkippedRange, read_skipped
from stream.tools.audit.outcomes import DeadLetter, hash_content
from stream.tools.kafka.topic_reader import StoredRecord

_BATCH_RECORDS = 10_000
_PARTITION, _OFFSET, _REASON = "__streams.errors.partition", "__streams.errors.offset", "dead-letter.reason"
_TOPIC, _GROUP = "__streams.errors.topic", "dead-letter.group"
_SHORTENED = {"dead-letter.value-bytes", "dead-letter.key-bytes"}
_MESSAGE = "__streams.errors.message"
_Row = tuple[int, int, str, int | None, int | None]


class DeadLetterIndex:
    """A temporary database of input partition, input offset, reason, and a hash of key and value.

    Attributes:
        skipped: ranges of input that were skipped deliberately; they are not dead letters.
    """

    def __init__(self, folder: Path, topic: str, group: str) -> None:
        """Index the dead letters of this input topic and group only; others may share their topic."""
        self.skipped: list[SkippedRange] = []
        self._source = (topic.encode(), group.encode())
        self._database = sqlite3.connect(folder / "dead-letters.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute(
            "CREATE TABLE dead_letters "
            "(partition INTEGER, input_offset INTEGER, reason TEXT, content_hash INTEGER, text_limit INTEGER)"
        )
        self._database.execute("CREATE INDEX by_input ON dead_letters (partition, input_offset)")

    def add(self, records: Iterable[StoredRecord]) -> int:
        """Add dead letters; return the number of records that do not name their input record."""
        rows: list[_Row] = []
        without_source = 0
        for record in records:
            headers = dict(record.headers)
            if headers.get(_TOPIC) is not None and (headers[_TOPIC], headers.get(_GROUP)) != self._source:
                continue
            if (skipped := read_skipped(record.headers)) is not None:
                self.skipped.append(skipped)
                continue
            if read_replayed(record.headers) is not None:
                continue  # replayed records are input like any other
            row = _row(record, headers)
            if row is None:
                without_source += 1
                continue
            rows.append(row)
            if len(rows) >= _BATCH_RECORDS:
                self._insert(rows)
        self._insert(rows)
        return without_source

    def take(self, partition: int) -> Iterator[DeadLetter]:
        """Yield the dead letters of an input partition, in the order of their input, then delete them."""
        rows = self._database.execute(
            "SELECT input_offset, reason, content_hash, text_limit FROM dead_letters WHERE partition = ? "
            "ORDER BY input_offset",
            (partition,),
        )
        for row in rows:
            yield DeadLetter(*row)
        self._database.execute("DELETE FROM dead_letters WHERE partition = ?", (partition,))

    def remaining(self) -> int:
        """Count the dead letters that were not taken: they name partitions that the input does not have."""
        return int(self._database.execute("SELECT count(*) FROM dead_letters").fetchone()[0])

    def _insert(self, rows: list[_Row]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")
        rows.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()


def _row(record: StoredRecord, headers: Mapping[str, bytes | None]) -> _Row | None:
    is_whole = not _SHORTENED & headers.keys()
    try:
        return (
            int(headers[_PARTITION] or b""),
            int(headers[_OFFSET] or b""),
            (headers[_REASON] or b"").decode(errors="replace"),
            hash_content(record.key, record.value) if is_whole else None,
            read_text_limit((headers.get(_MESSAGE) or b"").decode(errors="replace")),
        )
    except (KeyError, ValueError):
        return None
