import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.dead_letter import to_dead_letter
from stream.core.records import Header, InputRecord
from stream.core.replay import (
    OffsetRanges,
    is_by,
    is_original,
    is_shortened,
    is_unreadable,
    original_timestamp,
    read_origin,
    read_replayed,
    replay_headers,
    replayed_headers,
    replays_of,
)
from stream.core.skipped import SkippedRange
from stream.errors import Reason, Rejected

offsets = st.integers(0, 2**63 - 1)
HEADERS: list[Header] = [("trace", b"\x00\xff"), ("trace", None), ("", b"x")]


def dead_letter_headers(
    record: InputRecord, reason: Reason = Reason.BAD_JSON, bytes_max: int = 10_000
) -> list[Header]:
    why = Rejected(reason, "decode", "detail")
    letter = to_dead_letter(record, why, topic="d", group="g", failed_at="now", bytes_max=bytes_max)
    return list(letter.headers)


def record(
    headers: list[Header] = HEADERS, value: bytes | None = b"v", key: bytes | None = b"k"
) -> InputRecord:
    return InputRecord("blobs", 3, 17, key, value, headers, 5)


@given(st.sets(offsets, min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_replayed_offsets_survive_their_headers(replayed: set[int], topic: str, group: str) -> None:
    headers = replayed_headers(replayed, topic, group, "id")
    ranges = read_replayed(headers)
    assert ranges is not None
    assert len(OffsetRanges(ranges)) == len(replayed)
    assert all(offset in OffsetRanges(ranges) for offset in replayed)
    assert is_by(headers, topic, group, "id")
    assert not is_by(headers, topic, group, "that of a copy")


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5))), st.integers(0, 70))
def test_ranges_contain_the_same_offsets_as_a_set(pairs: list[tuple[int, int]], offset: int) -> None:
    ranges = OffsetRanges((first, first + number) for first, number in pairs)
    expected = {each for first, number in pairs for each in range(first, first + number + 1)}
    assert (offset in ranges) == (offset in expected)
    assert len(ranges) == len(expected)
    assert all(
        end + 1 < first for (_, end), (first, _) in zip(ranges.ranges, ranges.ranges[1:], strict=False)
    )


def test_replayed_offsets_are_listed_as_ranges_in_plain_text() -> None:
    assert dict(replayed_headers([5, 3, 4, 9], "blobs", "g", "id")) == {
        "__streams.errors.topic": b"blobs",
        "dead-letter.reason": b"replayed",
        "dead-letter.group": b"g",
        "replayed.offsets": b"3-5,9",
        "replayed.topic-id": b"id",
    }


@pytest.mark.parametrize("listed", [None, b"", b"x", b"1-", b"-1", b"1,", b"1_0", b"9" * 20])
def test_invalid_list_of_offsets_is_ignored(listed: bytes | None) -> None:
    headers = [("dead-letter.reason", b"replayed"), ("replayed.offsets", listed)]
    assert read_replayed(headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        replayed_headers([1], "blobs", "g", "id"),
        SkippedRange(1, 2, 3).headers("blobs", "g"),
        [header for header in dead_letter_headers(record()) if header[0] != "__streams.errors.offset"],
        [*dead_letter_headers(record()), ("__streams.errors.partition", b"-1")],
    ],
    ids=["none", "replayed", "skipped", "no offset", "bad partition"],
)
def test_record_that_is_not_a_dead_letter_has_no_origin(headers: list[Header]) -> None:
    assert read_origin(headers) is None


def test_replayed_record_has_the_headers_of_its_producer_and_the_number_of_replays() -> None:
    headers = dead_letter_headers(record())
    assert read_origin(headers) == ("blobs", 3, 17, "g")
    assert replay_headers(headers, 1) == [*HEADERS, ("dead-letter.replays", b"1")]


def test_number_of_replays_survives_the_next_rejection_and_replaces_the_last_one() -> None:
    again = dead_letter_headers(record(replay_headers(HEADERS, 2)))
    assert replays_of(again) == 2
    assert replay_headers(again, 3) == [*HEADERS, ("dead-letter.replays", b"3")]


@pytest.mark.parametrize("number", [None, b"", b"-1", b"many", b"1" * 40, b"x" * 100_000])
def test_invalid_number_of_replays_is_not_kept(number: bytes | None) -> None:
    headers = dead_letter_headers(record([("dead-letter.replays", number)]))
    assert replays_of(headers) == 0
    assert "dead-letter.replays" not in dict(headers)


def test_shortened_dead_letter_and_its_original_value_are_recognized() -> None:
    whole = dead_letter_headers(record())
    assert not is_shortened(whole)
    shortened = dead_letter_headers(record(value=b"v" * 900), bytes_max=800)
    assert is_shortened(shortened)
    assert is_original(shortened, b"x" * 900)
    assert not is_original(shortened, b"x")
    assert not is_original(shortened, None)
    without_key = dead_letter_headers(record(key=b"k" * 900, value=None), bytes_max=800)
    assert is_shortened(without_key)
    assert is_original(without_key, None)
    assert not is_original(without_key, b"x")


def test_unreadable_headers_are_recognized() -> None:
    assert is_unreadable(dead_letter_headers(record(), Reason.BAD_HEADERS))
    assert not is_unreadable(dead_letter_headers(record()))


@pytest.mark.parametrize(("noted", "expected"), [(None, 7), (b"x", 7), (b"-5", -5), (b"12", 12)])
def test_original_timestamp_is_the_one_in_the_header(noted: bytes | None, expected: int) -> None:
    headers = [] if noted is None else [("dead-letter.timestamp-ms", noted)]
    assert original_timestamp(headers, 7) == expected
