from dataclasses import dataclass, field

import orjson

from stream.audit.check import Audit
from stream.core.dictionary import build_index
from stream.core.records import Header, InputRecord

INDEX = build_index(["cat", "act"])


@dataclass(frozen=True)
class Seen:
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[Header] = field(default_factory=list)


def audit() -> Audit:
    return Audit(INDEX, "text", 1000)


def blob(offset: int, text: bytes = b"cat") -> InputRecord:
    return InputRecord("in", 0, offset, None, text)


def result(offset: int, n: int = 1, words: int = 1) -> Seen:
    value = {
        "anagram_counts": {"act": n, "cat": n},
        "words": words,
        "source": {"partition": 0, "offset": offset},
    }
    return Seen(0, b"id", orjson.dumps(value))


def letter(offset: int) -> Seen:
    return Seen(
        0, None, b"\xff", [("__streams.errors.partition", b"0"), ("__streams.errors.offset", b"%d" % offset)]
    )


def total(n: int) -> Seen:
    return Seen(0, b"act", b"%d" % n)


def test_exactly_one_outcome_each_and_the_fold_hold() -> None:
    a = audit()
    a.result(result(0))
    a.result(result(1))
    a.dead_letter(letter(2))
    a.total(total(1))
    a.total(total(2))
    for record in (blob(0), blob(1), blob(2, b"\xff")):
        a.input(record)
    verdict = a.finish()
    assert verdict.holds
    assert (verdict.records, verdict.results, verdict.dead_letters, verdict.words) == (3, 2, 1, 2)


def test_each_way_to_be_wrong_is_a_difference() -> None:
    def found(*seen: tuple[str, Seen], blobs: tuple[InputRecord, ...] = (blob(0),)) -> list[str]:
        a = audit()
        for kind, record in seen:
            getattr(a, kind)(record)
        for each in blobs:
            a.input(each)
        return a.finish().differences

    good = (("result", result(0)), ("total", total(1)))
    assert found(*good) == []
    assert "0 results" in found(("total", total(1)))[0]
    assert "2 results" in found(*good, ("result", result(0)))[0]
    assert "1 dead letters" in found(*good, ("dead_letter", letter(0)))[0]
    assert "not what its text gives" in found(("result", result(0, n=2)), ("total", total(1)))[0]
    assert "not what its text gives" in found(("result", result(0, words=2)), ("total", total(1)))[0]
    assert "is 2, the input gives 1" in found(("result", result(0)), ("total", total(2)))[0]
    assert "is 0, the input gives 1" in found(("result", result(0)))[0]
    assert "not in the input" in found(*good, ("result", result(7)))[0]
