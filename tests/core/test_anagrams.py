import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.anagrams import AnagramFold
from stream.core.codec import ResultEncoder
from stream.core.columns import InputRecords
from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.core.engine import Engine
from stream.core.fold import Chunk
from stream.core.lexicon import make_lexicon
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Reason, Rejected

INDEX = build_index(["act", "cat", "dog", "a", "n" * 30])
ENGINE, DECIDER = Engine(make_lexicon(INDEX)), Decider(INDEX)
TEXT_BYTES_MAX, RESULT_BYTES_MAX = 40, 135
JSON_HEADER = ("content-type", b"application/json")
VALUES: dict[bytes | None, Reason | None] = {
    b"cat": None,
    b"dog act cat": None,
    b"": None,
    b"a a zz": None,
    None: Reason.NULL_VALUE,
    b"\xff cat": Reason.UNDECODABLE,
    b"cat " * 11: Reason.TEXT_TOO_LARGE,
    b"cat " + b"n" * 30: Reason.RESULT_TOO_LARGE,
}


def processed(records: InputRecords) -> Chunk:
    encoder = ResultEncoder("out", RESULT_BYTES_MAX, 10**6)
    return AnagramFold(ENGINE, encoder, "text", TEXT_BYTES_MAX).process(records)


def records(values: list[bytes | None]) -> InputRecords:
    one_by_one = [InputRecord("in", 0, offset, None, value) for offset, value in enumerate(values)]
    return InputRecords.of(one_by_one) if values else InputRecords.empty("in", 0)


def assert_added(chunk: Chunk, texts: list[str]) -> None:
    """Assert that these texts and no others add to totals."""
    decisions = [DECIDER.decide(text) for text in texts]
    assert chunk.items == sum(decision.words for decision in decisions)
    added = Counter(ENGINE.signatures[number].decode() for number in chunk.deltas)
    assert added == sum((Counter(decision.deltas) for decision in decisions), Counter[str]())


@given(st.lists(st.sampled_from(list(VALUES))))
def test_every_record_has_its_outcome_in_order_and_only_results_add(values: list[bytes | None]) -> None:
    chunk = processed(records(values))
    assert len(chunk.outcomes) == len(values)
    for offset, (value, outcome) in enumerate(zip(values, chunk.outcomes, strict=True)):
        assert (outcome.reason if isinstance(outcome, Rejected) else None) == VALUES[value], value
        if isinstance(outcome, OutputRecord):
            result, decision = json.loads(outcome.value or b""), DECIDER.decide((value or b"").decode())
            assert result["source"]["offset"] == offset
            assert (result["anagram_counts"], result["words"]) == (decision.anagram_counts, decision.words)
    assert_added(chunk, [(value or b"").decode() for value in values if VALUES[value] is None])


@pytest.mark.parametrize("value", [value for value, reason in VALUES.items() if reason is not None], ids=repr)
def test_rejected_record_adds_nothing_and_the_others_do(value: bytes | None) -> None:
    chunk = processed(records([b"cat", value, b"dog"]))
    assert [isinstance(outcome, Rejected) for outcome in chunk.outcomes] == [False, True, False]
    assert_added(chunk, ["cat", "dog"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"{", Reason.BAD_JSON), (b"[]", Reason.WRONG_SHAPE), (b'{"text": 1}', Reason.WRONG_SHAPE)],
)
def test_bad_envelope_adds_nothing_and_the_others_do(value: bytes, reason: Reason) -> None:
    batch = [
        InputRecord("in", 0, n, None, v, [JSON_HEADER]) for n, v in enumerate((value, b'{"text":"cat"}'))
    ]
    chunk = processed(InputRecords.of(batch))
    first, second = chunk.outcomes
    assert isinstance(first, Rejected)
    assert first.reason is reason
    assert isinstance(second, OutputRecord)
    assert_added(chunk, ["cat"])


def test_no_records_make_an_empty_chunk() -> None:
    chunk = processed(records([]))
    assert (list(chunk.outcomes), chunk.items, chunk.deltas.tolist()) == ([], 0, [])
