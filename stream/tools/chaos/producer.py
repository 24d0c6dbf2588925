"""Produces the input of a campaign: texts from a seed, at a given pace, some of them undecodable."""

import random
import threading
import time
from dataclasses import dataclass

from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.kafka.clients import make_producer, producer_options

UNDECODABLE = 0.005  # share of the blobs
TEXTS = 2_000  # distinct texts
COMMON_WORDS = 5_000
UNKNOWN_WORDS = 0.05  # share of the words
QUEUE_RECORDS_MAX = 20_000
PACE_MAX = 200_000.0
TRICKLE_S = 0.02
NAP_S = 0.005
STALLED_S_MAX = 200.0  # longer than any broker outage of a campaign; then librdkafka is stuck


@dataclass(frozen=True, slots=True)
class InputSize:
    """The size of the input."""

    blobs: int
    words_per_blob: int

    @property
    def words(self) -> int:
        return self.blobs * self.words_per_blob


class CampaignProducer(threading.Thread):
    """Produces blobs at `pace` words/s, and survives every outage of the broker.

    Attributes:
        blobs: number of blobs to send.
        pace: words/s; may be changed at any time.
        share: share of the blobs to send at this pace; later blobs are sent every `trickle_s`.
        trickle_s: interval between blobs beyond `share`, so that input never ends while faults last.
        prefix: prefix of the keys.
        sent: number of blobs passed to the producer.
        ends: input partition -> the offset after the last acknowledged blob.
        delivered: number of blobs that the broker has acknowledged.
        failed: why it stopped too early; empty if it did not.
    """

    def __init__(
        self,
        settings: Settings,
        index: AnagramIndex,
        size: InputSize,
        seed: int,
        partitions: int,
    ) -> None:
        super().__init__(daemon=True, name="producer")
        self._rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._texts = _texts(self._rng, index, size.words_per_blob)
        self._words_per_blob = size.words_per_blob
        self._topic = settings.input_topic
        self._partitions = partitions
        self._producer = make_producer(
            {
                **producer_options(settings),
                "message.timeout.ms": 0,  # unlimited: the broker comes back
                "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
            }
        )
        self.blobs = size.blobs
        self.pace = PACE_MAX
        self.share = 1.0
        self.trickle_s = TRICKLE_S
        self.prefix = b"b"
        self.sent = 0
        self.delivered = 0
        self.ends = dict.fromkeys(range(partitions), 0)
        self.failed = ""
        self._acknowledged_at = 0.0  # the last acknowledgement, or the last time when none was pending
        self._stopped = threading.Event()

    @property
    def words_left(self) -> int:
        """Number of words that were not sent yet."""
        return (self.blobs - self.sent) * self._words_per_blob

    def spread(self, left_s: float, share: float, factor: float) -> None:
        """Send the remaining words within `left_s` seconds, at `factor` times that pace; see `share`."""
        self.share, self.pace = share, self.words_left / max(1.0, left_s) * factor

    def run(self) -> None:
        ahead_s, last = 0.0, time.monotonic()
        while self.sent < self.blobs and not self._has_ended():
            now = time.monotonic()
            ahead_s = max(-1.0, ahead_s - (now - last))  # it catches up on at most one second
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
            self._acknowledged_at = now
        elif now - self._acknowledged_at > STALLED_S_MAX:
            self.failed = (
                f"the campaign's own producer is stuck: none of {self.sent - self.delivered} blobs was "
                f"acknowledged for {STALLED_S_MAX:.0f} s. No worker is at fault; run the same seed again"
            )
        return bool(self.failed) or self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()
        self.join(10)

    @property
    def is_done(self) -> bool:
        """Whether the broker has acknowledged all blobs."""
        return self.delivered == self.blobs

    def _gap_s(self) -> float:
        if self.sent > self.share * self.blobs:
            return self.trickle_s
        return self._words_per_blob / min(self.pace, PACE_MAX)

    def _send(self) -> bool:
        rng = self._rng
        value = b"\xff\xfe not text" if rng.random() < UNDECODABLE else rng.choice(self._texts)
        partition = self.sent % self._partitions
        try:
            key = b"%b%d" % (self.prefix, self.sent)
            self._producer.produce(self._topic, value, key, partition, on_delivery=self.acknowledge)
        except BufferError:
            self._producer.poll(0.1)
            return False
        self.sent += 1
        self._producer.poll(0)
        return True

    def acknowledge(self, error: object, message: object) -> None:
        """Process a delivery report."""
        if error is not None:
            self.failed = f"a blob could not be delivered: {error}"
            return
        partition, offset = message.partition(), message.offset()  # type: ignore[attr-defined]
        if offset is not None:  # unknown for a retried record that the broker had appended already
            self.ends[partition] = max(self.ends[partition], offset + 1)
        self.delivered += 1
        self._acknowledged_at = time.monotonic()


def _texts(rng: random.Random, index: AnagramIndex, words: int) -> list[bytes]:
    known = sorted(word for same in index.anagrams.values() for word in same)
    common = rng.sample(known, min(COMMON_WORDS, len(known)))
    return [
        " ".join(
            "zzqx7" if rng.random() < UNKNOWN_WORDS else rng.choice(common) for _ in range(words)
        ).encode()
        for _ in range(TEXTS)
    ]
