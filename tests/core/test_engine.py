import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core import engine as engine_module
from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.core.engine import Engine

INDEX = build_index(["cat", "act", "tac", "dog", "god", "a", "i", "no", "on", "listen", "silent", "k"])
WORDS = st.sampled_from(
    ["cat", "Act", "TAC", "dog", "no-on", "c-a-t", "x1", "I", "silent.", "ca\u212a", "c\x1cat", "é"]
)
TEXTS = st.one_of(st.text(), st.text(st.characters(max_codepoint=127)), st.lists(WORDS).map(" ".join))


@given(st.lists(TEXTS, max_size=4))
def test_engine_equals_the_definition_over_all_of_unicode(texts: list[str]) -> None:
    """One engine for several texts: what it remembers changes nothing."""
    engine, decider = Engine(INDEX), Decider(INDEX)
    for text in texts:
        counted, decision = engine.count(text), decider.decide(text)
        assert dict(counted.deltas) == dict(decision.deltas)
        assert counted.words == decision.words
        assert (
            orjson.loads(counted.counts_json) == decision.anagram_counts == orjson.loads(decision.counts_json)
        )


def test_engine_splits_every_ascii_character_as_the_definition_does() -> None:
    engine, decider = Engine(INDEX), Decider(INDEX)
    for code in range(128):
        text = f"ca{chr(code)}t {chr(code)}"
        assert engine.count(text).words == decider.decide(text).words, code


def test_full_memo_starts_anew_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "MEMO_MAX", 2)
    engine, decider = Engine(INDEX), Decider(INDEX)
    text = "cat dog no on listen i a cat cat zz yy xx cat"
    assert dict(engine.count(text).deltas) == dict(decider.decide(text).deltas)
    assert orjson.loads(engine.count(text).counts_json) == decider.decide(text).anagram_counts
