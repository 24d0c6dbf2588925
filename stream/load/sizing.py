"""How much to send."""

PILOT_BLOBS_MAX, PILOT_WORDS_MAX = 20_000, 1_000_000
WORDS_MAX = 200_000_000  # of one backlog: about 1.6 GB in the topic


def pilot_blobs(words_per_blob: int, partitions: int) -> int:
    """Return the blobs of the run that only finds out how large the real one must be."""
    return max(partitions, min(PILOT_BLOBS_MAX, PILOT_WORDS_MAX // words_per_blob))


def backlog_blobs(words_per_s: float, duration_s: float, words_per_blob: int, partitions: int) -> int:
    """Return the blobs that take about `duration_s`, a multiple of the partitions."""
    words = min(WORDS_MAX, words_per_s * duration_s)
    each = max(1, round(words / words_per_blob / partitions))
    return each * partitions
