"""Makes dead letters: the rejected record unchanged, plus headers that say why it was rejected.

The first six headers have the names that Kafka Streams uses (KIP-1034). All values are plain text, so that
kcat can show them.
"""

from collections.abc import Callable, Sequence
from traceback import walk_tb

from stream import __version__
from stream.core.records import Header, InputRecord, OutputRecord, record_bytes
from stream.errors import Rejected

MESSAGE_BYTES_MAX = 1024
STACKTRACE_BYTES_MAX = 4096
_DIGITS_MAX = 19  # of a 64-bit number
OVERHEAD_BYTES_MAX = 64 * 1024  # the most that these headers and Kafka's framing add to a record
DeadLetterFactory = Callable[[InputRecord, Rejected], OutputRecord]
"""Makes the dead letter of a rejected record."""
_OURS = ("__streams.errors.", "dead-letter.")
REPLAYS = "dead-letter.replays"
"""Header: how often a record was replayed. The replayed record has it, and its next dead letter, too."""
_TOPIC, _PARTITION, _GROUP = "__streams.errors.topic", "__streams.errors.partition", "dead-letter.group"


def to_dead_letter(  # noqa: PLR0913 - the record, the reason, and the values of the headers
    record: InputRecord, why: Rejected, *, topic: str, group: str, failed_at: str, bytes_max: int
) -> OutputRecord:
    """Return the dead letter of a rejected record.

    Key, value, timestamp and foreign headers stay the same, byte for byte; dead-letter headers of an earlier
    rejection are replaced, except for the number of replays. If the dead letter would exceed `bytes_max`, the
    value is null, and `dead-letter.value-bytes` contains its length: topic, partition and offset name the
    original. If that is not enough, foreign headers and then the key are omitted in the same way.
    """
    kept: list[Header] = [header for header in record.headers if not is_of_dead_letter(header[0])]
    replays = [header for header in record.headers if header[0] == REPLAYS and _is_number(header[1])][-1:]
    headers = kept + _headers(record, why, group, failed_at) + replays
    key, value = record.key, record.value
    if value is not None and record_bytes(key, value, headers) > bytes_max:
        headers.append(("dead-letter.value-bytes", b"%d" % len(value)))
        value = None
    if record_bytes(key, value, headers) > bytes_max:  # foreign headers are too long by themselves
        headers = [
            *headers[len(kept) :],
            ("dead-letter.headers-bytes", b"%d" % record_bytes(None, None, kept)),
        ]
    if key is not None and record_bytes(key, value, headers) > bytes_max:
        headers.append(("dead-letter.key-bytes", b"%d" % len(key)))
        key = None
    return OutputRecord(topic, record.partition, key, value, headers, record.timestamp_ms)


def is_of_dead_letter(name: str) -> bool:
    """Whether a header of this name belongs to the dead letter rather than to its record."""
    return name.startswith(_OURS)


def is_dead_letter_of(headers: Sequence[Header], topic: str, partition: int, group: str) -> bool:
    """Whether a record is a dead letter that this group made of a record of this input partition."""
    values = dict(headers)
    origin = values.get(_TOPIC), values.get(_PARTITION), values.get(_GROUP)
    return origin == (topic.encode(), b"%d" % partition, group.encode())


def _is_number(value: bytes | None) -> bool:
    return value is not None and value.isdigit() and len(value) <= _DIGITS_MAX


def _headers(record: InputRecord, why: Rejected, group: str, failed_at: str) -> list[Header]:
    cause = why.__cause__ or why
    trace = _trace(cause)
    texts = {
        _TOPIC: record.topic,
        _PARTITION: str(record.partition),
        "__streams.errors.offset": str(record.offset),
        "__streams.errors.exception": type(cause).__qualname__,
        "__streams.errors.message": _head(why.detail, MESSAGE_BYTES_MAX),
        "__streams.errors.stacktrace": _tail(trace, STACKTRACE_BYTES_MAX),
        "dead-letter.reason": why.reason.value,
        "dead-letter.stage": why.stage,
        "dead-letter.attempts": str(why.attempts),
        _GROUP: group,
        "dead-letter.failed-at": failed_at,
        "dead-letter.version": __version__,
    }
    return [(name, text.encode(errors="replace")) for name, text in texts.items()]


def _trace(error: BaseException) -> str:
    """Return the traceback without source lines, which would take ten times as long to format."""
    frames = ((frame.f_code, line) for frame, line in walk_tb(error.__traceback__))
    lines = [f'  File "{code.co_filename}", line {line}, in {code.co_name}\n' for code, line in frames]
    return "".join(lines) + type(error).__name__


def _head(text: str, bytes_max: int) -> str:
    return text.encode(errors="replace")[:bytes_max].decode(errors="ignore")


def _tail(text: str, bytes_max: int) -> str:
    return text.encode(errors="replace")[-bytes_max:].decode(errors="ignore")
