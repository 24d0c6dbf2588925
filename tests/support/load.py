"""Texts, a producer that sends them at a given rate, and the check of the output."""

import random
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import Producer
from english_words import get_english_words_set
from support.topics import plain_totals, read, results, totals, wait_until

DICTIONARY = sorted(w for w in get_english_words_set(["gcide"], lower=True) if w.isascii() and w.isalpha())
_NOISE = ("x1y2", "42", "--", "Ünïcode", "zzqzz")


def texts(blobs: int, words: int, seed: int = 1) -> list[str]:
    """Return texts of `words` words each; some words are not in the dictionary."""
    rng = random.Random(seed)
    common = rng.sample(DICTIONARY, 5000)
    return [
        " ".join(
            rng.choice(_NOISE) if rng.random() < 0.05 else rng.choice(common).capitalize()
            for _ in range(words)
        )
        for _ in range(blobs)
    ]


class Load(threading.Thread):
    """Produces blobs `b0`, `b1`, … at a rate; survives broker outages."""

    def __init__(self, env: dict[str, str], blobs: Sequence[str], seconds: float) -> None:
        super().__init__(daemon=True)
        self.blobs = blobs
        self.sent = 0
        self._seconds = seconds
        self._topic = env["STREAM_INPUT_TOPIC"]
        self._producer = Producer(
            {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "enable.idempotence": True, "linger.ms": 5}
        )

    def run(self) -> None:
        began = time.monotonic()
        for number, text in enumerate(self.blobs):
            due = began + self._seconds * number / len(self.blobs)
            if (ahead := due - time.monotonic()) > 0:
                time.sleep(ahead)
            self._producer.produce(self._topic, text, f"b{number}")
            self._producer.poll(0)
            self.sent = number + 1
        self._producer.flush()

    def wait_for(self, share: float) -> None:
        """Wait until this share of the blobs was sent."""
        wait_until(lambda: self.sent >= share * len(self.blobs), 300, every=0.02)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.join(120)


def judge(env: dict[str, str], blobs: Sequence[str], seconds: float = 120) -> None:
    """Wait for all results; check that each blob has one, in order, and that totals equal a plain count."""
    wait_until(lambda: len(read(env, "result")) >= len(blobs), seconds, every=1)
    time.sleep(1)  # for a result that should not arrive
    output = results(env)
    by_source = [(r["source"]["partition"], r["source"]["offset"]) for r in output]
    assert len(by_source) == len(set(by_source)) == len(blobs), (
        "not every input record has exactly one result"
    )
    assert sorted(r["blob_id"] for r in output) == sorted(f"b{n}" for n in range(len(blobs)))
    for partition in {p for p, _ in by_source}:
        offsets = [offset for p, offset in by_source if p == partition]
        assert offsets == sorted(offsets), "results are not in the order of their input"
    assert totals(env) == plain_totals(blobs, DICTIONARY)
