"""The input of a campaign: texts from a seed, sent at a pace, some of them not readable."""

import random
import threading
import time
from dataclasses import dataclass

from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.kafka.clients import make_producer, producer_options

POISON = 0.005  # of the blobs
TEXTS = 2_000  # distinct ones
COMMON_WORDS = 5_000
OUTSIDE = 0.05  # of the words
QUEUE_RECORDS_MAX = 20_000
PACE_MAX = 200_000.0
TRICKLE_S = 0.02  # from blob to blob: input never ends while faults last
NAP_S = 0.005
STALLED_S_MAX = 60.0  # a broker is never away so long: librdkafka sends no more, which is no worker's fault


@dataclass(frozen=True, slots=True)
class Size:
    """How much is sent."""

    blobs: int
    words_per_blob: int

    @property
    def words(self) -> int:
        """In all."""
        return self.blobs * self.words_per_blob


class Load(threading.Thread):
    """Sends blobs, at `pace` words a second, through whatever happens to the broker.

    Attributes:
        blobs: how many in all.
        pace: may be changed at any time.
        share: of the blobs that it may send at this pace; beyond it they trickle.
        sent: blobs handed over.
        ends: input partition -> the offset after the last blob that the broker has confirmed.
        delivered: blobs that it has confirmed.
        failed: why it ended too soon.
    """

    def __init__(
        self, settings: Settings, index: AnagramIndex, size: Size, seed: int, partitions: int
    ) -> None:
        super().__init__(daemon=True, name="load")
        self._rng = random.Random(seed)  # noqa: S311 - to be replayed, not to be secret
        self._texts = _texts(self._rng, index, size.words_per_blob)
        self._words_per_blob = size.words_per_blob
        self._topic = settings.input_topic
        self._partitions = partitions
        self._producer = make_producer(
            {
                **producer_options(settings),
                "message.timeout.ms": 0,  # a broker that is away comes back
                "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
            }
        )
        self.blobs = size.blobs
        self.pace = PACE_MAX
        self.share = 1.0
        self.sent = 0
        self.delivered = 0
        self.ends = dict.fromkeys(range(partitions), 0)
        self.failed = ""
        self._confirmed_at = 0.0  # the last, or when nothing was waited for
        self._stopped = threading.Event()

    def run(self) -> None:
        """Send all."""
        ahead_s, last = 0.0, time.monotonic()
        while self.sent < self.blobs and not self._has_ended():
            now = time.monotonic()
            ahead_s = max(-1.0, ahead_s - (now - last))  # at most a second is caught up
            last = now
            if ahead_s > 0:
                self._producer.poll(NAP_S)
                continue
            if self._send():
                ahead_s += self._gap_s()
        while self.delivered < self.sent and not self._has_ended():
            self._producer.poll(0.1)

    def _has_ended(self) -> bool:
        now = time.monotonic()
        if self.delivered == self.sent:
            self._confirmed_at = now
        elif now - self._confirmed_at > STALLED_S_MAX:
            self.failed = (
                f"the campaign's own producer: none of {self.sent - self.delivered} blobs on their way "
                f"was confirmed for {STALLED_S_MAX:.0f} s; its seed may run through when it is tried again"
            )
        return bool(self.failed) or self._stopped.is_set()

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()
        self.join(10)

    @property
    def is_done(self) -> bool:
        """Whether all was sent and confirmed."""
        return self.delivered == self.blobs

    def _gap_s(self) -> float:
        if self.sent > self.share * self.blobs:
            return TRICKLE_S
        return self._words_per_blob / min(self.pace, PACE_MAX)

    def _send(self) -> bool:
        rng = self._rng
        value = b"\xff\xfe not text" if rng.random() < POISON else rng.choice(self._texts)
        partition = self.sent % self._partitions
        try:
            self._producer.produce(
                self._topic, value, b"b%d" % self.sent, partition, on_delivery=self._confirmed
            )
        except BufferError:
            self._producer.poll(0.1)
            return False
        self.sent += 1
        self._producer.poll(0)
        return True

    def _confirmed(self, error: object, message: object) -> None:
        if error is not None:
            self.failed = f"a blob could not be delivered: {error}"
            return
        partition, offset = message.partition(), message.offset()  # type: ignore[attr-defined]
        self.ends[partition] = max(self.ends[partition], offset + 1)
        self.delivered += 1
        self._confirmed_at = time.monotonic()


def _texts(rng: random.Random, index: AnagramIndex, words: int) -> list[bytes]:
    known = sorted(word for same in index.anagrams.values() for word in same)
    common = rng.sample(known, min(COMMON_WORDS, len(known)))
    return [
        " ".join("zzqx7" if rng.random() < OUTSIDE else rng.choice(common) for _ in range(words)).encode()
        for _ in range(TEXTS)
    ]
