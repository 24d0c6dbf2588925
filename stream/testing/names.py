"""The names of a pipeline on the fake cluster."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """Topics and group."""

    input: str = "text-blobs"
    results: str = "anagram-results"
    counts: str = "signature-counts"
    dead_letters: str = "dead-letters"
    group: str = "anagram-counter"

    @property
    def by_role(self) -> dict[str, str]:
        """Role -> name of the topic."""
        return {
            "input": self.input,
            "result": self.results,
            "count": self.counts,
            "dead-letter": self.dead_letters,
        }
