import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.dead_letter import (
    MESSAGE_BYTES_MAX,
    OVERHEAD_BYTES_MAX,
    STACKTRACE_BYTES_MAX,
    to_dead_letter,
)
from stream.core.records import DeadLetterHeaders, Header, InputRecord, OutputRecord
from stream.errors import Reason, Rejected

OURS = ("__streams.errors.", "dead-letter.")
NAMES = [field.alias or "" for field in DeadLetterHeaders.model_fields.values()]
VALUE_BYTES = "dead-letter.value-bytes"

BYTES = st.none() | st.binary(max_size=30)
FOREIGN: st.SearchStrategy[Header] = st.tuples(st.text(max_size=5), BYTES)
LEFT_OVER: st.SearchStrategy[Header] = st.tuples(
    st.sampled_from([*NAMES, VALUE_BYTES, "dead-letter.x"]), BYTES
)
RECORDS = st.builds(
    InputRecord,
    topic=st.just("blobs"),
    partition=st.just(3),
    offset=st.integers(0, 2**63 - 1),
    key=BYTES,
    value=BYTES,
    headers=st.lists(FOREIGN | LEFT_OVER, max_size=8),
    timestamp_ms=st.none() | st.integers(0, 2**42),
)
WHY = Rejected(Reason.BAD_JSON, "decode", "no JSON at byte 1")
RECORD = InputRecord("blobs", 3, 7, b"key", b"value", [("x", b"y")], timestamp_ms=1)


def bury(record: InputRecord, why: Rejected = WHY, bytes_max: int = 10**6) -> OutputRecord:
    return to_dead_letter(record, why, topic="dead", group="counters", failed_at="now", bytes_max=bytes_max)


def again(letter: OutputRecord) -> InputRecord:
    """Give a dead letter back as an input record, as a replay without cleaning would."""
    return InputRecord(
        "blobs", letter.partition, 7, letter.key, letter.value, letter.headers, letter.timestamp_ms
    )


def is_ours(header: Header) -> bool:
    return header[0].startswith(OURS)


def foreign(record: InputRecord | OutputRecord) -> list[Header]:
    return [header for header in record.headers if not is_ours(header)]


def texts(letter: OutputRecord) -> dict[str, str]:
    return {name: (data or b"").decode() for name, data in filter(is_ours, letter.headers)}


def size(record: InputRecord | OutputRecord) -> int:
    in_headers = sum(len(name.encode()) + len(data or b"") for name, data in record.headers)
    return len(record.key or b"") + len(record.value or b"") + in_headers


def caused_by(cause: Exception, detail: str = "it failed") -> Rejected:
    """Raise and catch it, so that it has a cause and a traceback."""
    with pytest.raises(Rejected) as caught:
        _raise_from(cause, detail, depth=60)
    return caught.value


def _raise_from(cause: Exception, detail: str, depth: int) -> None:
    if depth:
        return _raise_from(cause, detail, depth - 1)
    try:
        raise cause
    except type(cause) as error:
        raise Rejected(Reason.RETRIES_EXHAUSTED, "decide", detail, attempts=12) from error


@given(RECORDS)
def test_record_stays_as_it_came_byte_for_byte(record: InputRecord) -> None:
    letter = bury(record)
    assert (letter.topic, letter.partition) == ("dead", record.partition)
    assert (letter.key, letter.value, letter.timestamp_ms) == (record.key, record.value, record.timestamp_ms)
    assert foreign(letter) == foreign(record)


@given(RECORDS)
def test_headers_of_ours_are_those_of_the_model_and_each_there_once(record: InputRecord) -> None:
    """Whatever headers of ours an earlier rejection left."""
    letter = bury(record)
    assert [name for name, _ in letter.headers if name.startswith(OURS)] == NAMES
    DeadLetterHeaders.model_validate(texts(letter))


@given(RECORDS, st.integers(0, 400))
def test_dead_letter_rejected_again_does_not_grow(record: InputRecord, bytes_max: int) -> None:
    once = bury(record._replace(offset=7), bytes_max=bytes_max)
    more = once
    for _ in range(3):
        more = bury(again(more), bytes_max=bytes_max)
        assert size(more) <= size(once)
    assert (foreign(more), more.key, more.value) == (foreign(once), once.key, once.value)


def test_headers_say_what_was_rejected_where_and_why() -> None:
    headers = texts(bury(RECORD, caused_by(KeyError("no such thing"))))
    trace = headers.pop("__streams.errors.stacktrace")
    assert "_raise_from" in trace
    assert trace.endswith("KeyError")
    assert headers.pop("dead-letter.version")
    assert headers == {
        "__streams.errors.topic": "blobs",
        "__streams.errors.partition": "3",
        "__streams.errors.offset": "7",
        "__streams.errors.exception": "KeyError",
        "__streams.errors.message": "it failed",
        "dead-letter.reason": "retries-exhausted",
        "dead-letter.stage": "decide",
        "dead-letter.attempts": "12",
        "dead-letter.group": "counters",
        "dead-letter.failed-at": "now",
    }


def test_headers_name_the_rejection_itself_where_nothing_else_caused_it() -> None:
    assert texts(bury(RECORD))["__streams.errors.exception"] == "Rejected"


def test_stacktrace_does_not_hold_the_message_of_the_cause() -> None:
    """It may quote the text; the detail, which may not, is the message."""
    assert "secret" not in str(bury(RECORD, caused_by(ValueError("secret"))).headers)


@pytest.mark.parametrize("reason", Reason)
def test_reason_is_from_the_closed_list(reason: Reason) -> None:
    assert texts(bury(RECORD, Rejected(reason, "decode", "")))["dead-letter.reason"] == reason.value


@given(st.text(min_size=300).map(lambda text: text * 4) | st.text())
def test_message_is_the_beginning_of_the_detail_and_capped(detail: str) -> None:
    message = texts(bury(RECORD, Rejected(Reason.BAD_JSON, "decode", detail)))["__streams.errors.message"]
    assert detail.startswith(message)
    assert len(message.encode()) <= MESSAGE_BYTES_MAX
    assert message == detail or len(message.encode()) > MESSAGE_BYTES_MAX - 4


@pytest.mark.parametrize("name", ["KeyError", "E" * STACKTRACE_BYTES_MAX, "ä" * STACKTRACE_BYTES_MAX])
def test_stacktrace_is_capped_and_ends_with_the_innermost(name: str) -> None:
    cause = type(name, (Exception,), {})()
    trace = texts(bury(RECORD, caused_by(cause)))["__streams.errors.stacktrace"]
    assert len(trace.encode()) <= STACKTRACE_BYTES_MAX
    assert trace.endswith(name[: STACKTRACE_BYTES_MAX // 4])


def test_detail_that_is_not_unicode_is_no_obstacle() -> None:
    """A message with a file name may hold what `surrogateescape` left there."""
    assert texts(bury(RECORD, Rejected(Reason.RETRIES_EXHAUSTED, "decide", "no file a\udcff.txt")))


@pytest.mark.parametrize("key", [None, b"key"])
def test_value_that_does_not_fit_is_null_and_a_header_says_how_long_it_was(key: bytes | None) -> None:
    record = RECORD._replace(key=key, value=b"v" * 5_000)
    letter = bury(record, bytes_max=5_000)
    assert (letter.key, letter.value, letter.timestamp_ms) == (key, None, 1)
    assert foreign(letter) == [("x", b"y")]
    ours = texts(letter)
    assert ours.pop(VALUE_BYTES) == "5000"
    DeadLetterHeaders.model_validate(ours)


def test_null_value_stays_null_and_has_no_length() -> None:
    assert VALUE_BYTES not in texts(bury(RECORD._replace(value=None), bytes_max=0))


def test_empty_value_that_does_not_fit_had_no_bytes() -> None:
    letter = bury(RECORD._replace(value=b""), bytes_max=0)
    assert (letter.value, texts(letter)[VALUE_BYTES]) == (None, "0")


@given(RECORDS, st.integers(0, 2_000))
def test_dead_letter_with_a_value_is_within_the_limit(record: InputRecord, bytes_max: int) -> None:
    letter = bury(record, bytes_max=bytes_max)
    assert letter.value is None or size(letter) <= bytes_max
    assert (letter.value is None) == (record.value is None or VALUE_BYTES in texts(letter))


def test_names_of_headers_count_in_bytes() -> None:
    letter = bury(RECORD._replace(headers=[("ä" * 2_000, b"")]), bytes_max=4_000)
    assert letter.value is None


@given(RECORDS, st.text(max_size=2_000))
def test_dead_letter_needs_no_more_than_the_overhead_allowed_for(record: InputRecord, detail: str) -> None:
    """Topics are made so that what fits into the input fits into the dead letters with its headers."""
    why = caused_by(KeyError("x"), detail)
    letter = bury(record, why, bytes_max=size(record) + OVERHEAD_BYTES_MAX)
    assert letter.value == record.value
    assert size(letter) <= size(record) + OVERHEAD_BYTES_MAX
