"""Chooses the size of a backlog, so that it takes about the requested duration."""

from stream.tools.load_test.figures import Throughput

PILOT_BLOBS_MAX, PILOT_WORDS_MAX = 20_000, 1_000_000
WORDS_MAX = 200_000_000  # of one backlog, about 1.6 GB in the topic
STEADY_S_MIN = 1.0  # a shorter steady part yields no rate
QUICK_GROWTH, SLOW_GROWTH = 8, 2  # of the next pilot, if the steady part of this one was too short


def blobs_of(words: float, words_per_blob: int, partitions: int) -> int:
    """Return the number of blobs with about this many words, the same number on each partition."""
    return max(1, round(words / words_per_blob / partitions)) * partitions


def pilot_blobs(words_per_blob: int, partitions: int) -> int:
    """Return the number of blobs of the pilot run, which determines the size of the real run."""
    words = min(PILOT_WORDS_MAX, PILOT_BLOBS_MAX * words_per_blob)
    return blobs_of(words, words_per_blob, partitions)


def more_blobs(pilot: Throughput, duration_s: float) -> int:
    """Return the number of blobs of the next run: for the duration, or more if the pilot yielded no rate.

    It is at most that of the pilot if the pilot took long enough.
    """
    rate = pilot.steady_words_per_s
    growth = QUICK_GROWTH if pilot.whole_s < duration_s else SLOW_GROWTH
    words = growth * pilot.words if rate is None else rate * duration_s
    return blobs_of(min(WORDS_MAX, words), pilot.words_per_blob, pilot.partitions)
