"""How much to send, so that a backlog takes about as long as was asked for."""

from stream.tools.load_test.figures import Throughput

PILOT_BLOBS_MAX, PILOT_WORDS_MAX = 20_000, 1_000_000
WORDS_MAX = 200_000_000  # of one backlog: about 1.6 GB in the topic
STEADY_S_MIN = 1.0  # from the first commit to the last: below it there is no rate
QUICKLY = 8


def blobs_of(words: float, words_per_blob: int, partitions: int) -> int:
    """Return the blobs of so many words, the same number on each partition."""
    return max(1, round(words / words_per_blob / partitions)) * partitions


def pilot_blobs(words_per_blob: int, partitions: int) -> int:
    """Return the blobs of the run that only finds out how large the real one must be."""
    words = min(PILOT_WORDS_MAX, PILOT_BLOBS_MAX * words_per_blob)
    return blobs_of(words, words_per_blob, partitions)


def more_blobs(pilot: Throughput, duration_s: float) -> int:
    """Return the blobs of the next run: those that take the duration, or more where a rate is not known.

    No more than the pilot had, where it took long enough.
    """
    rate = pilot.steady_words_per_s
    growth = QUICKLY if pilot.whole_s < duration_s else 2
    words = growth * pilot.words if rate is None else rate * duration_s
    return blobs_of(min(WORDS_MAX, words), pilot.words_per_blob, pilot.partitions)
