"""The properties of processing that hold for any input bytes."""

from collections import Counter

from stream.core.codec import ResultEncoder, decode_blob
from stream.core.dead_letter import to_dead_letter
from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.core.engine import Engine
from stream.core.lexicon import make_lexicon
from stream.core.records import AnagramResult, InputRecord, record_bytes
from stream.errors import Rejected

INDEX = build_index(["act", "cat", "tea", "eat", "listen", "silent", "a", "god", "dog"])
TEXT_BYTES_MAX, RESULT_BYTES_MAX, RECORD_BYTES_MAX = 4_096, 1_024, 1_200
DEAD_LETTER_BYTES_MAX = 8_192
ENGINE, DECIDER = Engine(make_lexicon(INDEX)), Decider(INDEX)
ENCODER = ResultEncoder("out", RESULT_BYTES_MAX, RECORD_BYTES_MAX)


def one_outcome(value: bytes | None, key: bytes | None, content_type: bytes | None) -> str:
    """Decode, count and encode one record; return `result` or the reason of its rejection."""
    headers = [] if content_type is None else [("content-type", content_type)]
    record = InputRecord("in", 3, 7, key, value, headers)
    try:
        blob = decode_blob(record, "text", TEXT_BYTES_MAX)
        counted, decision = ENGINE.count([blob.utf8]), DECIDER.decide(blob.text)
        assert Counter(ENGINE.signatures[number].decode() for number in counted.ids) == decision.deltas
        assert counted.words == [decision.words]
        assert counted.counts_json == [decision.counts_json]
        encoded = ENCODER.encode(record, blob.blob_id, counted.counts_json[0], decision.words)
    except Rejected as why:
        dead_letter = to_dead_letter(
            record, why, topic="dead", group="g", failed_at="now", bytes_max=DEAD_LETTER_BYTES_MAX
        )
        assert record_bytes(dead_letter.key, dead_letter.value, dead_letter.headers) <= DEAD_LETTER_BYTES_MAX
        return str(why.reason)
    result = AnagramResult.model_validate_json(encoded.value or b"")
    assert result.anagram_counts == decision.anagram_counts
    assert record_bytes(encoded.key, encoded.value, encoded.headers) <= RECORD_BYTES_MAX
    return "result"
