"""The workload of the product: small blobs of few words, so that all batches change the same totals."""

from random import Random

from stream.core.codec import decode_blob
from stream.core.decide import Decider
from stream.core.dictionary import build_index
from stream.core.fold import Fold
from stream.core.records import Header, InputRecord
from stream.errors import Reason, Rejected, StageFailed
from stream.testing.anagrams import WORDS, anagram_fold
from stream.testing.names import Names
from stream.tools.simulation.workload import Expected, Submission

TEXT_BYTES_MAX = 100
_UNKNOWN = ("xyzzy", "plugh", "Don't", "top-spot", "TINSEL")
_FLAKY, _STUBBORN = b"flaky", b"stubborn"
_JSON: Header = ("content-type", b"application/json")
_WORDS_MAX = 8


class AnagramWorkload:
    def __init__(self, rng: Random, names: Names) -> None:
        self._rng = rng
        self._fold = anagram_fold(WORDS, names, TEXT_BYTES_MAX)
        self._decide = Decider(build_index(WORDS)).decide

    @property
    def fold(self) -> Fold:
        return self._fold

    def draw(self) -> Submission:
        drawn = self._rng.random()
        if drawn < 0.08:  # noqa: PLR2004 - shares of the whole
            return self._poison()
        text = " ".join(self._rng.choices((*WORDS, *_UNKNOWN), k=self._rng.randint(0, _WORDS_MAX))).encode()
        if drawn < 0.14:  # noqa: PLR2004
            text += b" " + (_FLAKY if drawn < 0.12 else _STUBBORN)  # noqa: PLR2004
        if drawn > 0.9:  # noqa: PLR2004
            return Submission(b"key", b'{"text": "%s"}' % text, [_JSON])
        return Submission(None, text)

    def disturb(self, record: InputRecord) -> None:
        value = record.value or b""
        if _STUBBORN in value or (_FLAKY in value and self._rng.random() < 0.5):  # noqa: PLR2004
            raise StageFailed("decide", "disturbed")

    def expect(self, record: InputRecord) -> Expected:
        value = record.value or b""
        exhausted = frozenset({Reason.RETRIES_EXHAUSTED.value})
        if _STUBBORN in value:
            return Expected(None, reasons=exhausted)
        try:
            decision = self._decide(decode_blob(record, "text", TEXT_BYTES_MAX).text)
        except Rejected as rejected:
            return Expected(None, reasons=frozenset({rejected.reason.value}))
        result = {"anagram_counts": decision.anagram_counts, "words": decision.words}
        deltas = {key.encode(): added for key, added in decision.deltas.items()}
        return Expected(result, deltas, exhausted if _FLAKY in value else frozenset())

    def _poison(self) -> Submission:
        return self._rng.choice(
            (
                Submission(b"k", None),
                Submission(b"k", b"\xff\xfe"),
                Submission(b"k", b"{", [_JSON]),
                Submission(b"k", b'{"text": 1}', [_JSON]),
                Submission(b"k", b"a" * (TEXT_BYTES_MAX + 1)),
            )
        )
