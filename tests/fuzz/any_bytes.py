"""Coverage-guided fuzzing of what decodes, counts and encodes: `hatch run fuzz:run -max_total_time=60`."""

import resource
import sys
from collections import Counter

import atheris

with atheris.instrument_imports():
    from support.outcome import one_outcome

CONTENT_TYPES = (None, b"application/json", b"text/plain", b"application/json;x")
SEEN: Counter[str] = Counter()


def take(data: bytes) -> None:
    """One record: the first two bytes choose content type and the length of the key."""
    chosen = atheris.FuzzedDataProvider(data)
    content_type = CONTENT_TYPES[chosen.ConsumeIntInRange(0, len(CONTENT_TYPES) - 1)]
    key = chosen.ConsumeBytes(chosen.ConsumeIntInRange(0, 64))
    SEEN[one_outcome(chosen.ConsumeBytes(chosen.remaining_bytes()), key or None, content_type)] += 1
    if SEEN.total() % 100_000 == 0:
        say()


def say() -> None:
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{SEEN.total()} records: {dict(SEEN)}; peak {peak_mib} MiB", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    atheris.Setup(sys.argv, take)
    atheris.Fuzz()
