import pytest

from stream.core.records import Header
from stream.core.replay import replayed_headers
from stream.tools.dead_letters.selection import Selection
from stream.tools.dead_letters.stored import StoredDeadLetter
from stream.tools.dead_letters.summary import Summary
from stream.tools.kafka.topic_reader import StoredRecord

HEADERS: list[Header] = [
    ("source", b"crawler"),
    ("dead-letter.reason", b"bad-json"),
    ("dead-letter.stage", b"decode"),
    ("dead-letter.failed-at", b"1970-01-01T00:00:05.678+00:00"),
    ("__streams.errors.topic", b"blobs"),
    ("__streams.errors.partition", b"3"),
    ("__streams.errors.offset", b"17"),
    ("__streams.errors.exception", b"Rejected"),
    ("__streams.errors.message", b"line 1 column 2"),
]


def stored(offset: int = 7, value: bytes | None = b"v", headers: list[Header] = HEADERS) -> StoredRecord:
    return StoredRecord("dead-letters", 2, offset, None, value, headers, 9)


def letter(**values: bytes) -> StoredDeadLetter:
    changed = [(name, values.get(name.split(".")[-1], value)) for name, value in HEADERS]
    return StoredDeadLetter(stored(headers=changed))


@pytest.mark.parametrize(
    ("selection", "matches"),
    [
        (Selection(), True),
        (Selection(reasons=frozenset({"bad-json", "x"})), True),
        (Selection(reasons=frozenset({"x"})), False),
        (Selection(stages=frozenset({"decode"})), True),
        (Selection(stages=frozenset({"encode"})), False),
        (Selection(partitions=frozenset({2})), True),
        (Selection(partitions=frozenset({3})), False),
        (Selection(since_ms=5678), True),
        (Selection(since_ms=5679), False),
        (Selection(until_ms=5679), True),
        (Selection(until_ms=5678), False),
        (Selection(headers=(("source", b"crawler"), ("dead-letter.stage", b"decode"))), True),
        (Selection(headers=(("source", b"crawler"), ("source", b"other"))), False),
        (Selection(fingerprints=frozenset({letter().fingerprint})), True),
        (Selection(fingerprints=frozenset({"00000000"})), False),
    ],
)
def test_dead_letter_passes_every_filter(selection: Selection, matches: bool) -> None:  # noqa: FBT001
    assert selection.matches(letter()) == matches


def test_fingerprint_does_not_depend_on_numbers() -> None:
    assert letter().fingerprint == letter(message=b"line 20 column 34").fingerprint
    assert letter().fingerprint != letter(message=b"line 1 row 2").fingerprint
    assert letter().fingerprint != letter(exception=b"ValueError").fingerprint


@pytest.mark.parametrize("failed_at", [b"", b"yesterday", b"9999-99-99", b"\xff"])
def test_time_of_a_rejection_is_the_timestamp_if_the_header_has_none(failed_at: bytes) -> None:
    assert letter(**{"failed-at": failed_at}).failed_at_ms == 9


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (b"", ""),
        (b"abcd", "abcd"),
        (b"abcde", "abcd…"),
        ("äöüß€".encode(), "äöüß…"),
        (b"a\x1b[3", "a\\x1b[3"),
        (b"\xffab", "\\xff…"),
        (b"a\nb", "a\\nb"),
    ],
)
def test_value_is_shown_safely(value: bytes | None, shown: str) -> None:
    assert StoredDeadLetter(stored(value=value)).shown_value(4) == shown


def test_summary_counts_what_was_replayed() -> None:
    summary = Summary(Selection())
    for offset in (3, 4, 6):
        summary.add(stored(offset))
    summary.add(stored(8, headers=[*HEADERS, ("__streams.errors.message", b"another error")]))
    summary.add(stored(9, headers=[("x", b"foreign")]))
    summary.add(stored(10, None, replayed_headers([4, 6, 7], "blobs", "g", "id")))
    first, second = summary.kinds
    assert (first.number, first.replayed, first.example, first.error) == (3, 2, "2:6", "line # column #")
    assert (second.number, second.replayed) == (1, 0)
