"""Replays of dead letters: which were replayed, and the input record that a dead letter came from. Pure.

Each transaction of a replay writes one record per partition to the dead-letter topic. Its headers list the
offsets of the dead letters that the transaction sent. The record comes later in the same log, so retention
never deletes it before these dead letters.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from stream.core.dead_letter import REPLAYS, is_of_dead_letter
from stream.core.event_time import DEAD_LETTER_HEADER
from stream.core.records import Header
from stream.core.skipped import SKIPPED
from stream.errors import Reason

REPLAYED = "replayed"
"""The `dead-letter.reason` of the record that lists replayed dead letters; no dead letter has this reason."""
_TOPIC, _PARTITION, _OFFSET, _GROUP, _REASON = (
    "__streams.errors.topic",
    "__streams.errors.partition",
    "__streams.errors.offset",
    "dead-letter.group",
    "dead-letter.reason",
)
_OFFSETS, _TOPIC_ID = "replayed.offsets", "replayed.topic-id"
_VALUE_BYTES = "dead-letter.value-bytes"
_SHORTENED = {_VALUE_BYTES, "dead-letter.key-bytes", "dead-letter.headers-bytes"}
_LIST = re.compile(rb"\d{1,19}(-\d{1,19})?(,\d{1,19}(-\d{1,19})?)*")
_NUMBER = re.compile(rb"\d{1,19}")
_SIGNED = re.compile(rb"-?\d{1,19}")


class LeftOut(StrEnum):
    """Why a selected dead letter is not replayed, in the words that an operator sees."""

    LIMIT = "already replayed as often as --replays-max allows"
    GONE = "it is incomplete, and the input topic no longer has the original record"
    CHANGED = "it is incomplete, and the input topic has another record at that offset"
    UNREADABLE = "its headers cannot be read and would be lost"
    NO_PARTITION = "the input topic has no such partition"
    DELETED = "retention deleted the dead letter, so it is unknown whether it was replayed"
    UNFINISHED = "its line still has the field `left_out`: add the value, then remove that field"
    TOO_LARGE = "larger than the input topic or this client accepts"


class Origin(NamedTuple):
    """The input record that a dead letter came from, and the group that rejected it."""

    topic: str
    partition: int
    offset: int
    group: str


class OffsetRanges:
    """A set of offsets, stored as ranges: dead letters that were replayed in order take little memory."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """`ranges` are pairs of first and last offset, in any order."""
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __contains__(self, offset: int) -> bool:
        position = bisect_right(self._firsts, offset) - 1
        return position >= 0 and offset <= self._lasts[position]

    def __len__(self) -> int:
        return sum(last + 1 - first for first, last in self.ranges)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Pairs of first and last offset, in order; no two are adjacent."""
        return list(zip(self._firsts, self._lasts, strict=True))


def replayed_headers(offsets: Iterable[int], topic: str, group: str, topic_id: str) -> list[Header]:
    """Return the headers of the record that lists dead letters which `group` replayed to the input `topic`.

    `offsets` are those of the dead letters, in the partition of the record; `topic_id` is the id of
    their topic, because a copy of the topic has other offsets.
    """
    ranges = OffsetRanges((offset, offset) for offset in offsets).ranges
    listed = ",".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)
    texts = {_TOPIC: topic, _REASON: REPLAYED, _GROUP: group, _OFFSETS: listed, _TOPIC_ID: topic_id}
    return [(name, text.encode()) for name, text in texts.items()]


def read_replayed(headers: Sequence[Header]) -> list[tuple[int, int]] | None:
    """Read the headers of a record in the dead-letter topic; None if it does not list replayed dead letters.

    The result consists of pairs of first and last offset.
    """
    values = dict(headers)
    if values.get(_REASON) != REPLAYED.encode():
        return None
    listed = values.get(_OFFSETS) or b""
    if not _LIST.fullmatch(listed):
        return None
    ends = [[int(number) for number in each.split(b"-")] for each in listed.split(b",")]
    return [(each[0], each[-1]) for each in ends]


def is_by(headers: Sequence[Header], topic: str, group: str, topic_id: str) -> bool:
    """Whether a list belongs to this input topic and group, and to the dead-letter topic with this id."""
    values = dict(headers)
    named = values.get(_TOPIC), values.get(_GROUP), values.get(_TOPIC_ID)
    return named == (topic.encode(), group.encode(), topic_id.encode())


def read_origin(headers: Sequence[Header]) -> Origin | None:
    """Return the record that a dead letter came from; None if the record is not a dead letter."""
    values = dict(headers)
    numbers = values.get(_PARTITION) or b"", values.get(_OFFSET) or b""
    reason, topic = values.get(_REASON), values.get(_TOPIC)
    if topic is None or reason in {None, REPLAYED.encode(), SKIPPED.encode()}:
        return None
    if not all(map(_NUMBER.fullmatch, numbers)):
        return None
    group = (values.get(_GROUP) or b"").decode(errors="replace")
    return Origin(topic.decode(errors="replace"), int(numbers[0]), int(numbers[1]), group)


def replays_of(headers: Sequence[Header]) -> int:
    """Return how often the record was replayed before."""
    number = dict(headers).get(REPLAYS) or b""
    return int(number) if _NUMBER.fullmatch(number) else 0


def is_shortened(headers: Sequence[Header]) -> bool:
    """Whether the dead letter lacks the value, key or headers of its record, because they did not fit."""
    return not _SHORTENED.isdisjoint(name for name, _ in headers)


def is_unreadable(headers: Sequence[Header]) -> bool:
    """Whether the headers of the record could not be read, so that the dead letter lacks them."""
    return dict(headers).get(_REASON) == Reason.BAD_HEADERS.value.encode()


def is_original(headers: Sequence[Header], value: bytes | None) -> bool:
    """Whether a record with this value can be the one that a shortened dead letter came from."""
    size = dict(headers).get(_VALUE_BYTES)
    return value is None if size is None else size == b"%d" % len(value or b"")


def replay_headers(headers: Sequence[Header], replays: int) -> list[Header]:
    """Return the headers of the record to send: those of its producer, and the number of replays."""
    return [*(each for each in headers if not is_of_dead_letter(each[0])), (REPLAYS, b"%d" % replays)]


def original_timestamp(headers: Sequence[Header], timestamp_ms: int) -> int:
    """Return the timestamp of the record that a dead letter came from, in ms."""
    noted = dict(headers).get(DEAD_LETTER_HEADER) or b""
    return int(noted) if _SIGNED.fullmatch(noted) else timestamp_ms
