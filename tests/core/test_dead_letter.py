import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.dead_letter import (
    MESSAGE_BYTES_MAX,
    OVERHEAD_BYTES_MAX,
    STACKTRACE_BYTES_MAX,
    is_dead_letter_of,
    to_dead_letter,
)
from stream.core.records import DeadLetterHeaders, Header, InputRecord, OutputRecord
from stream.errors import Reason, Rejected

OWN_HEADERS = ("__streams.errors.", "dead-letter.")
NAMES = [field.alias or "" for field in DeadLetterHeaders.model_fields.values()]
VALUE_BYTES = "dead-letter.value-bytes"

BYTES = st.none() | st.binary(max_size=30)
FOREIGN: st.SearchStrategy[Header] = st.tuples(st.text(max_size=5), BYTES)
EARLIER: st.SearchStrategy[Header] = st.tuples(st.sampled_from([*NAMES, VALUE_BYTES, "dead-letter.x"]), BYTES)
RECORDS = st.builds(
    InputRecord,
    topic=st.just("blobs"),
    partition=st.just(3),
    offset=st.integers(0, 2**63 - 1),
    key=BYTES,
    value=BYTES,
    headers=st.lists(FOREIGN | EARLIER, max_size=8),
    timestamp_ms=st.none() | st.integers(0, 2**42),
)
WHY = Rejected(Reason.BAD_JSON, "decode", "no JSON at byte 1")
RECORD = InputRecord("blobs", 3, 7, b"key", b"value", [("x", b"y")], timestamp_ms=1)


def make_dead_letter(record: InputRecord, why: Rejected = WHY, bytes_max: int = 10**6) -> OutputRecord:
    return to_dead_letter(record, why, topic="dead", group="counters", failed_at="now", bytes_max=bytes_max)


def replayed(dead_letter: OutputRecord) -> InputRecord:
    """Return a dead letter as an input record with the same headers, as a replay may submit it."""
    return InputRecord(
        "blobs",
        dead_letter.partition,
        7,
        dead_letter.key,
        dead_letter.value,
        dead_letter.headers,
        dead_letter.timestamp_ms,
    )


def is_own(header: Header) -> bool:
    return header[0].startswith(OWN_HEADERS)


def foreign(record: InputRecord | OutputRecord) -> list[Header]:
    return [header for header in record.headers if not is_own(header)]


def texts(dead_letter: OutputRecord) -> dict[str, str]:
    return {name: (data or b"").decode() for name, data in filter(is_own, dead_letter.headers)}


def size(record: InputRecord | OutputRecord) -> int:
    in_headers = sum(len(name.encode()) + len(data or b"") for name, data in record.headers)
    return len(record.key or b"") + len(record.value or b"") + in_headers


def caused_by(cause: Exception, detail: str = "it failed") -> Rejected:
    """Raise and catch a rejection, so that it has a cause and a traceback."""
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
def test_dead_letter_keeps_the_record_byte_for_byte(record: InputRecord) -> None:
    dead_letter = make_dead_letter(record)
    assert (dead_letter.topic, dead_letter.partition) == ("dead", record.partition)
    assert (dead_letter.key, dead_letter.value, dead_letter.timestamp_ms) == (
        record.key,
        record.value,
        record.timestamp_ms,
    )
    assert foreign(dead_letter) == foreign(record)


@given(RECORDS)
def test_each_header_of_the_model_occurs_once(record: InputRecord) -> None:
    """Even if the record has headers of an earlier rejection."""
    dead_letter = make_dead_letter(record)
    assert [name for name, _ in dead_letter.headers if name.startswith(OWN_HEADERS)] == NAMES
    DeadLetterHeaders.model_validate(texts(dead_letter))


@given(RECORDS, st.integers(0, 400))
def test_dead_letter_rejected_again_does_not_grow(record: InputRecord, bytes_max: int) -> None:
    once = make_dead_letter(record._replace(offset=7), bytes_max=bytes_max)
    more = once
    for _ in range(3):
        more = make_dead_letter(replayed(more), bytes_max=bytes_max)
        assert size(more) <= size(once)
    assert (foreign(more), more.key, more.value) == (foreign(once), once.key, once.value)


def test_headers_name_the_record_and_the_reason() -> None:
    headers = texts(make_dead_letter(RECORD, caused_by(KeyError("no such thing"))))
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


def test_headers_name_the_rejection_if_it_has_no_cause() -> None:
    assert texts(make_dead_letter(RECORD))["__streams.errors.exception"] == "Rejected"


def test_stacktrace_does_not_contain_the_message_of_the_cause() -> None:
    """The cause may quote the text; the message header has the detail, which never quotes it."""
    assert "secret" not in str(make_dead_letter(RECORD, caused_by(ValueError("secret"))).headers)


@pytest.mark.parametrize("reason", Reason)
def test_reason_is_from_the_closed_list(reason: Reason) -> None:
    assert (
        texts(make_dead_letter(RECORD, Rejected(reason, "decode", "")))["dead-letter.reason"] == reason.value
    )


@given(st.text(min_size=300).map(lambda text: text * 4) | st.text())
def test_message_is_the_beginning_of_the_detail_up_to_its_limit(detail: str) -> None:
    message = texts(make_dead_letter(RECORD, Rejected(Reason.BAD_JSON, "decode", detail)))[
        "__streams.errors.message"
    ]
    assert detail.startswith(message)
    assert len(message.encode()) <= MESSAGE_BYTES_MAX
    assert message == detail or len(message.encode()) > MESSAGE_BYTES_MAX - 4


@pytest.mark.parametrize("name", ["KeyError", "E" * STACKTRACE_BYTES_MAX, "ä" * STACKTRACE_BYTES_MAX])
def test_stacktrace_is_cut_at_its_beginning(name: str) -> None:
    cause = type(name, (Exception,), {})()
    trace = texts(make_dead_letter(RECORD, caused_by(cause)))["__streams.errors.stacktrace"]
    assert len(trace.encode()) <= STACKTRACE_BYTES_MAX
    assert trace.endswith(name[: STACKTRACE_BYTES_MAX // 4])


def test_detail_that_is_not_unicode_is_encoded() -> None:
    """A message with a file name may contain characters that `surrogateescape` produced."""
    assert texts(
        make_dead_letter(RECORD, Rejected(Reason.RETRIES_EXHAUSTED, "decide", "no file a\udcff.txt"))
    )


@pytest.mark.parametrize("key", [None, b"key"])
def test_value_that_does_not_fit_is_null_and_a_header_has_its_length(key: bytes | None) -> None:
    record = RECORD._replace(key=key, value=b"v" * 5_000)
    dead_letter = make_dead_letter(record, bytes_max=5_000)
    assert (dead_letter.key, dead_letter.value, dead_letter.timestamp_ms) == (key, None, 1)
    assert foreign(dead_letter) == [("x", b"y")]
    headers = texts(dead_letter)
    assert headers.pop(VALUE_BYTES) == "5000"
    DeadLetterHeaders.model_validate(headers)


def test_null_value_has_no_header_with_its_length() -> None:
    assert VALUE_BYTES not in texts(make_dead_letter(RECORD._replace(value=None), bytes_max=0))


def test_empty_value_that_does_not_fit_has_length_zero() -> None:
    dead_letter = make_dead_letter(RECORD._replace(value=b""), bytes_max=0)
    assert (dead_letter.value, texts(dead_letter)[VALUE_BYTES]) == (None, "0")


@given(RECORDS, st.integers(0, 2_000))
def test_dead_letter_with_a_value_is_within_the_limit(record: InputRecord, bytes_max: int) -> None:
    dead_letter = make_dead_letter(record, bytes_max=bytes_max)
    assert dead_letter.value is None or size(dead_letter) <= bytes_max
    assert (dead_letter.value is None) == (record.value is None or VALUE_BYTES in texts(dead_letter))


def test_names_of_headers_are_measured_in_bytes() -> None:
    dead_letter = make_dead_letter(RECORD._replace(headers=[("ä" * 2_000, b"")]), bytes_max=4_000)
    assert dead_letter.value is None


@given(RECORDS, st.text(max_size=2_000))
def test_dead_letter_adds_at_most_the_overhead(record: InputRecord, detail: str) -> None:
    """The limits of the topics assume this: every record of the input fits in the dead-letter topic."""
    why = caused_by(KeyError("x"), detail)
    dead_letter = make_dead_letter(record, why, bytes_max=size(record) + OVERHEAD_BYTES_MAX)
    assert dead_letter.value == record.value
    assert size(dead_letter) <= size(record) + OVERHEAD_BYTES_MAX


@given(RECORDS)
def test_origin_of_a_dead_letter_is_recognized(record: InputRecord) -> None:
    headers = make_dead_letter(record, bytes_max=1).headers
    assert is_dead_letter_of(headers, "blobs", 3, "counters")
    assert not is_dead_letter_of(headers, "blobs", 2, "counters")
    assert not is_dead_letter_of(headers, "other", 3, "counters")
    assert not is_dead_letter_of(headers, "blobs", 3, "others")
