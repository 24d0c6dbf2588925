"""One input record and its outcome: is it what the core computes again? By the definition, not the engine."""

from collections.abc import Mapping

import orjson

from stream.audit.outcome import Outcome, last_headers
from stream.config import Settings
from stream.core.codec import Blob, decode_blob, encode_result
from stream.core.decide import Decider, Decision
from stream.core.dictionary import AnagramIndex
from stream.core.records import InputRecord
from stream.errors import Reason, Rejected


class Judge:
    """Computes outcomes anew."""

    def __init__(self, settings: Settings, index: AnagramIndex) -> None:
        self._settings = settings
        self._decide = Decider(index).decide

    def expected(self, record: InputRecord) -> tuple[Blob, Decision] | Rejected:
        """Return what the core makes of a record."""
        try:
            blob = decode_blob(record, self._settings.input_format, self._settings.text_bytes_max)
        except Rejected as why:
            return why
        return blob, self._decide(blob.text)

    def complaint(
        self, record: InputRecord, outcome: Outcome, expected: tuple[Blob, Decision] | Rejected
    ) -> str | None:
        """Return what is wrong with an outcome; None: nothing."""
        return self._letter(record, outcome, expected) if outcome.letter else _result(outcome, expected)

    def _letter(
        self, record: InputRecord, outcome: Outcome, expected: tuple[Blob, Decision] | Rejected
    ) -> str | None:
        headers = last_headers(outcome.record.headers)
        reason = headers.get("dead-letter.reason", b"").decode(errors="replace")
        if outcome.record.value != record.value and "dead-letter.value-bytes" not in headers:
            return "the dead letter's value is not the record's"
        if outcome.record.key != record.key and "dead-letter.key-bytes" not in headers:
            return "the dead letter's key is not the record's"
        if reason == Reason.RETRIES_EXHAUSTED:
            return None
        if isinstance(expected, Rejected):
            return (
                None
                if reason == expected.reason
                else f"rejected as {reason}, the core says {expected.reason}"
            )
        if reason == Reason.RESULT_TOO_LARGE and self._too_large(record, *expected):
            return None
        return f"rejected as {reason}, the core gives a result"

    def _too_large(self, record: InputRecord, blob: Blob, decision: Decision) -> bool:
        limit = self._settings.result_bytes_max
        try:  # with the topic's own limit unknown, what its framing may add is allowed for
            encode_result(record, blob.blob_id, decision, "", limit, limit)
        except Rejected:
            return True
        return False


def _result(outcome: Outcome, expected: tuple[Blob, Decision] | Rejected) -> str | None:
    if isinstance(expected, Rejected):
        return f"has a result, the core rejects it as {expected.reason}"
    blob, decision = expected
    value: Mapping[str, object] = orjson.loads(outcome.record.value or b"")
    if set(value) != {"blob_id", "anagram_counts", "words", "source"}:
        return "the result's fields are not those of a result"
    if value["blob_id"] != blob.blob_id or outcome.record.key != blob.blob_id.encode():
        return "the result's blob id is not the record's"
    if value["words"] != decision.words:
        return f"the result has {value['words']} words, the text {decision.words}"
    found = value["anagram_counts"]
    if found == decision.anagram_counts or not isinstance(found, dict):
        return None if isinstance(found, dict) else "the result has no counts"
    wants = decision.anagram_counts
    words = sorted(w for w in {*found, *wants} if found.get(w, 0) != wants.get(w, 0))
    first = words[0]
    return (
        f"{len(words)} counts differ, the first: {first} is {found.get(first, 0)}, "
        f"its text gives {wants.get(first, 0)}"
    )
