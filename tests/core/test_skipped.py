import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.records import Header
from stream.core.skipped import SkippedRange, read_skipped
from stream.errors import Reason

HEADERS = SkippedRange(2, 17, 417).headers("blobs", "counters")


def changed(**values: bytes | None) -> list[Header]:
    names = {
        "to": "skipped.to",
        "counted_to": "skipped.counted-to",
        "first": "__streams.errors.offset",
        "reason": "dead-letter.reason",
    }
    return [*HEADERS, *((names[name], value) for name, value in values.items())]


offsets = st.integers(0, 2**62)


@given(st.integers(0, 2**31 - 1), offsets, st.integers(1, 2**62), offsets, st.text(), st.text())
def test_range_survives_its_headers(  # noqa: PLR0913, PLR0917 - its parts
    partition: int, first: int, number: int, counted_to: int, topic: str, group: str
) -> None:
    skipped = SkippedRange(partition, first, first + number, counted_to)
    assert read_skipped(skipped.headers(topic, group)) == skipped


def test_headers_name_topic_group_and_offsets_in_plain_text() -> None:
    assert dict(HEADERS) == {
        "__streams.errors.topic": b"blobs",
        "__streams.errors.partition": b"2",
        "__streams.errors.offset": b"17",
        "skipped.to": b"417",
        "dead-letter.reason": b"skipped",
        "dead-letter.group": b"counters",
    }


def test_range_contains_its_first_offset_and_not_its_end() -> None:
    skipped = SkippedRange(0, 3, 5)
    assert [offset for offset in range(7) if offset in skipped] == [3, 4]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        HEADERS[:-3],
        changed(reason=Reason.BAD_JSON.value.encode()),
        changed(reason=None),
        changed(to=None),
        changed(to=b"17"),
        changed(to=b"3"),
        changed(to=b"-1"),
        changed(to=b"end"),
        changed(counted_to=b"-1"),
        changed(counted_to=None),
        changed(first=b" 1"),
        changed(first=b"1_0"),
    ],
    ids=str,
)
def test_other_headers_are_not_a_range(headers: list[Header]) -> None:
    assert read_skipped(headers) is None


def test_no_rejected_record_has_the_reason_of_a_skipped_range() -> None:
    assert "skipped" not in {reason.value for reason in Reason}
