"""Selects the dead letters that a command applies to."""

from dataclasses import dataclass

from stream.tools.dead_letters.stored import StoredDeadLetter


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters; a dead letter is selected if it passes all of them. An empty filter passes everything.

    Attributes:
        reasons: values of the header `dead-letter.reason`.
        stages: values of the header `dead-letter.stage`.
        fingerprints: values of `StoredDeadLetter.fingerprint`.
        partitions: partitions of the dead-letter topic.
        since_ms: rejected at this time or later, in ms since 1970.
        until_ms: rejected before this time.
        headers: names and values; all must be among the headers of the dead letter.
    """

    reasons: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    fingerprints: frozenset[str] = frozenset()
    partitions: frozenset[int] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

    def matches(self, letter: StoredDeadLetter) -> bool:
        """Return whether the dead letter is selected."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.partitions or letter.record.partition in self.partitions)
            and (not self.stages or letter.header("dead-letter.stage") in self.stages)
            and (self.since_ms is None or letter.failed_at_ms >= self.since_ms)
            and (self.until_ms is None or letter.failed_at_ms < self.until_ms)
            and (not self.headers or all(each in letter.record.headers for each in self.headers))
            and (not self.fingerprints or letter.fingerprint in self.fingerprints)
        )
