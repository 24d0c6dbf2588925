"""Coverage-guided fuzzing of decoding, counting and encoding: `hatch run fuzz:run -max_total_time=60`."""

import resource
import sys
from collections import Counter

import atheris

with atheris.instrument_imports():
    from support.outcome import one_outcome

CONTENT_TYPES = (None, b"application/json", b"text/plain", b"application/json;x")
OUTCOMES: Counter[str] = Counter()


def fuzz_record(data: bytes) -> None:
    """Process one record; two bytes of the data select its content type and the length of its key."""
    provider = atheris.FuzzedDataProvider(data)
    content_type = CONTENT_TYPES[provider.ConsumeIntInRange(0, len(CONTENT_TYPES) - 1)]
    key = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 64))
    OUTCOMES[one_outcome(provider.ConsumeBytes(provider.remaining_bytes()), key or None, content_type)] += 1
    if OUTCOMES.total() % 100_000 == 0:
        print_outcomes()


def print_outcomes() -> None:
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{OUTCOMES.total()} records: {dict(OUTCOMES)}; peak {peak_mib} MiB", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_record)
    atheris.Fuzz()
