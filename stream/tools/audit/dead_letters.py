"""Dead letters by the input that they speak of: on disk, for a flood of them must not fill the memory."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.kafka.reader import StoredRecord
from stream.tools.audit.outcomes import Letter, content_of

_BATCH = 10_000
_PARTITION, _OFFSET, _REASON = "__streams.errors.partition", "__streams.errors.offset", "dead-letter.reason"
_TOPIC, _GROUP = "__streams.errors.topic", "dead-letter.group"
_SHORTENED = {"dead-letter.value-bytes", "dead-letter.key-bytes"}
_Row = tuple[int, int, str, int | None]


class LetterIndex:
    """A temporary database: input partition, offset, reason, and a hash of key and value."""

    def __init__(self, folder: Path, topic: str, group: str) -> None:
        """Only those of this input topic and group are taken: others may share the dead-letter topic."""
        self._of = (topic.encode(), group.encode())
        self._database = sqlite3.connect(folder / "letters.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute(
            "CREATE TABLE letters (partition INTEGER, source INTEGER, reason TEXT, content INTEGER)"
        )
        self._database.execute("CREATE INDEX by_source ON letters (partition, source)")

    def add(self, records: Iterable[StoredRecord]) -> int:
        """Take dead letters; return how many do not say what they are of."""
        rows: list[_Row] = []
        nameless = 0
        for record in records:
            named = dict(record.headers)
            if named.get(_TOPIC) is not None and (named[_TOPIC], named.get(_GROUP)) != self._of:
                continue
            row = _row(record, named)
            if row is None:
                nameless += 1
                continue
            rows.append(row)
            if len(rows) >= _BATCH:
                self._insert(rows)
        self._insert(rows)
        return nameless

    def take(self, partition: int) -> Iterator[Letter]:
        """Yield the dead letters of an input partition, in the order of their input, and forget them."""
        cursor = self._database.execute(
            "SELECT source, reason, content FROM letters WHERE partition = ? ORDER BY source", (partition,)
        )
        for source, reason, content in cursor:
            yield Letter(source, reason, content)
        self._database.execute("DELETE FROM letters WHERE partition = ?", (partition,))

    def left(self) -> int:
        """Count those that nobody took: of partitions that the input has not."""
        return int(self._database.execute("SELECT count(*) FROM letters").fetchone()[0])

    def _insert(self, rows: list[_Row]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO letters VALUES (?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")
        rows.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._database.close()


def _row(record: StoredRecord, named: Mapping[str, bytes | None]) -> _Row | None:
    is_whole = not _SHORTENED & named.keys()
    try:
        return (
            int(named[_PARTITION] or b""),
            int(named[_OFFSET] or b""),
            (named[_REASON] or b"").decode(errors="replace"),
            content_of(record.key, record.value) if is_whole else None,
        )
    except (KeyError, ValueError):
        return None
