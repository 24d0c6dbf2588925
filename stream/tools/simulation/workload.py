"""What the simulation feeds in, and what must come of it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.core.codec import decode_blob
from stream.core.decide import Decider, Decision
from stream.core.dictionary import AnagramIndex
from stream.core.records import Header, InputRecord
from stream.errors import Reason, Rejected, StageFailed
from stream.testing.pipeline import WORDS

_UNKNOWN = ("xyzzy", "plugh", "Don't", "top-spot", "TINSEL")
_FLAKY, _STUBBORN = b"flaky", b"stubborn"
_JSON: Header = ("content-type", b"application/json")
_WORDS_MAX = 8


@dataclass(frozen=True, slots=True)
class Blob:
    """A record of the input topic, before it has an offset."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What may come of an input record.

    Attributes:
        decision: what its result says; None where no result is right.
        reasons: with which it may be rejected.
    """

    decision: Decision | None
    reasons: frozenset[str]


class Workload:
    """Small blobs of few words, so that the totals of all partitions and batches meet."""

    def __init__(self, rng: random.Random, index: AnagramIndex, text_bytes_max: int) -> None:
        self._rng = rng
        self._decide = Decider(index).decide
        self._text_bytes_max = text_bytes_max

    def blob(self) -> Blob:
        """Draw a blob: most are good, some are poison, some are disturbed while they are counted."""
        drawn = self._rng.random()
        if drawn < 0.08:  # noqa: PLR2004 - shares of the whole
            return self._poison()
        text = " ".join(self._rng.choices((*WORDS, *_UNKNOWN), k=self._rng.randint(0, _WORDS_MAX))).encode()
        if drawn < 0.14:  # noqa: PLR2004
            text += b" " + (_FLAKY if drawn < 0.12 else _STUBBORN)  # noqa: PLR2004
        if drawn > 0.9:  # noqa: PLR2004
            return Blob(b"key", b'{"text": "%s"}' % text, [_JSON])
        return Blob(None, text)

    def disturb(self, record: InputRecord) -> None:
        """Fail in passing, for the records that ask for it."""
        value = record.value or b""
        if _STUBBORN in value or (_FLAKY in value and self._rng.random() < 0.5):  # noqa: PLR2004
            raise StageFailed("decide", "disturbed")

    def expect(self, record: InputRecord) -> Expected:
        """Return what may come of a record: the core's own answer, less what the disturbance may do."""
        value = record.value or b""
        spent: frozenset[str] = frozenset({Reason.RETRIES_EXHAUSTED.value})
        if _STUBBORN in value:
            return Expected(None, spent)
        try:
            decision = self._decide(decode_blob(record, "text", self._text_bytes_max).text)
        except Rejected as why:
            return Expected(None, frozenset({why.reason.value}))
        return Expected(decision, spent if _FLAKY in value else frozenset())

    def _poison(self) -> Blob:
        return self._rng.choice(
            (
                Blob(b"k", None),
                Blob(b"k", b"\xff\xfe"),
                Blob(b"k", b"{", [_JSON]),
                Blob(b"k", b'{"text": 1}', [_JSON]),
                Blob(b"k", b"a" * (self._text_bytes_max + 1)),
            )
        )


def totals_of(decisions: Sequence[Decision]) -> Mapping[bytes, bytes]:
    """Fold decisions into totals, as they stand in the count topic; the fold is the oracle's own."""
    totals: dict[str, int] = {}
    for decision in decisions:
        for key, grown in decision.deltas.items():
            totals[key] = totals.get(key, 0) + grown
    return {key.encode(): str(total).encode() for key, total in totals.items()}
