"""The options of a load test."""

from collections.abc import Callable
from dataclasses import dataclass

from stream.errors import Misconfigured

_PERCENT = 100.0
_RATE_MAX = 1_000_000.0
_RATES_HINT = "give blobs/s or percentages: --rates 500,2000,50%"

OnProgress = Callable[[str, int, int], None]
"""Takes the current activity, its progress, and its total."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A load.

    Attributes:
        value: blobs/s, or a percentage of the measured throughput.
    """

    value: float
    is_share: bool = False

    def blobs_per_s(self, limit: float) -> float:
        """Return the rate; `limit` is the measured throughput in blobs/s."""
        return self.value * limit / _PERCENT if self.is_share else self.value


@dataclass(frozen=True, slots=True)
class LoadTestOptions:
    """The options of `bench`.

    Attributes:
        throughput, latency, delay, recovery: what to measure.
        duration_s: duration of each backlog and of each rate.
        warmup_s: the blobs of this time do not count for the latency.
        words: words per backlog; 0: as many as take the duration, according to a pilot run.
        rates: loads of the open loop.
        delays_ms: delays of the responses of the broker.
        blob_words: words per blob for which throughput is measured.
        live_words: words per blob of the open loop.
        vocabulary: number of dictionary words that occur; 0: all.
        seed: seed of the texts.
        workers: number of worker commands to start.
        worker_arguments: arguments of each.
    """

    throughput: bool
    latency: bool
    delay: bool
    recovery: bool
    duration_s: float
    warmup_s: float
    words: int
    rates: tuple[Rate, ...]
    delays_ms: tuple[int, ...]
    blob_words: tuple[int, ...]
    live_words: int
    vocabulary: int
    partitions: int
    seed: int
    workers: int = 1
    worker_arguments: tuple[str, ...] = ()

    def check_rates(self, *, attached: bool) -> None:
        """Check that percentages refer to a measured throughput.

        Raises:
            Misconfigured: one does not.
        """
        is_measured = self.throughput and self.live_words in self.blob_words and not attached
        share = next((rate for rate in self.rates if rate.is_share), None)
        if share is not None and not is_measured:
            raise Misconfigured(
                f"--rates {share.value:g}% refers to the throughput at {self.live_words} words per blob, "
                "which is not measured",
                f"add {self.live_words} to --blob-words, or give blobs/s",
            )


def parse_rates(text: str) -> tuple[Rate, ...]:
    """Parse `500,2000,50%`.

    Raises:
        Misconfigured: the text has another form.
    """
    try:
        rates = [Rate(float(part.rstrip("%")), part.endswith("%")) for part in _parts(text)]
    except ValueError as error:
        raise Misconfigured(f"--rates: {error}", _RATES_HINT) from error
    if not rates or any(not 0 < rate.value <= _RATE_MAX for rate in rates):
        raise Misconfigured("--rates must be above 0 and at most 1,000,000", _RATES_HINT)
    return tuple(rates)


def parse_numbers(option: str, text: str, largest: int, least: int = 1) -> tuple[int, ...]:
    """Parse `5,20,100`; return the numbers in ascending order.

    Raises:
        Misconfigured: the text has another form.
    """
    try:
        numbers = sorted({int(part) for part in _parts(text)})
    except ValueError as error:
        raise Misconfigured(f"{option}: {error}", f"give whole numbers: {option} 5,20") from error
    if not numbers or not least <= numbers[0] <= numbers[-1] <= largest:
        raise Misconfigured(f"{option} must be {least} to {largest:,}", f"{option} 5,20")
    return tuple(numbers)


def _parts(text: str) -> list[str]:
    return [part.strip().replace("_", "") for part in text.split(",") if part.strip()]
