"""What is asked of a benchmark."""

from collections.abc import Callable
from dataclasses import dataclass

from stream.errors import Misconfigured

_PERCENT = 100.0
_RATE_MAX = 1_000_000.0
_RATES_MEND = "give blobs a second or shares: --rates 500,2000,50%"

Tell = Callable[[str, int, int], None]
"""Hears what is done, how much of it, and how much that is in all."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A load: blobs a second, or a share of what the throughput run took.

    Attributes:
        value: blobs a second, or per cent.
    """

    value: float
    is_share: bool = False

    def blobs_per_s(self, limit: float) -> float:
        """Return it; `limit` is the throughput, in blobs a second."""
        return self.value * limit / _PERCENT if self.is_share else self.value


@dataclass(frozen=True, slots=True)
class Order:
    """The options.

    Attributes:
        duration_s: of each backlog, and of each rate.
        words: of each backlog; 0: as many as take the duration, which a pilot finds out.
        blob_words: sizes of blobs whose throughput is measured.
        live_words: size of a blob of an open loop.
        vocabulary: how many of the dictionary's words occur; 0: all.
        workers: how many times the worker's command is started; worker_arguments: what it is given.
    """

    throughput: bool
    latency: bool
    recovery: bool
    duration_s: float
    warmup_s: float
    words: int
    rates: tuple[Rate, ...]
    blob_words: tuple[int, ...]
    live_words: int
    vocabulary: int
    partitions: int
    seed: int
    workers: int = 1
    worker_arguments: tuple[str, ...] = ()

    def check_rates(self, *, attached: bool) -> None:
        """See to it that shares have a whole.

        Raises:
            Misconfigured: they have none.
        """
        has_whole = self.throughput and self.live_words in self.blob_words and not attached
        share = next((rate for rate in self.rates if rate.is_share), None)
        if share is not None and not has_whole:
            raise Misconfigured(
                f"--rates {share.value:g}% is a share of the throughput at {self.live_words} words a blob, "
                "which is not measured",
                f"put {self.live_words} into --blob-words, or give blobs a second",
            )


def read_rates(text: str) -> tuple[Rate, ...]:
    """Read `500,2000,50%`.

    Raises:
        Misconfigured: it is not of that form.
    """
    try:
        rates = [Rate(float(part.rstrip("%")), part.endswith("%")) for part in _parts(text)]
    except ValueError as error:
        raise Misconfigured(f"--rates: {error}", _RATES_MEND) from error
    if not rates or any(not 0 < rate.value <= _RATE_MAX for rate in rates):
        raise Misconfigured("--rates must be above 0 and at most 1,000,000", _RATES_MEND)
    return tuple(rates)


def read_numbers(option: str, text: str, largest: int) -> tuple[int, ...]:
    """Read `5,20,100`, in rising order.

    Raises:
        Misconfigured: it is not of that form.
    """
    try:
        numbers = sorted({int(part) for part in _parts(text)})
    except ValueError as error:
        raise Misconfigured(f"{option}: {error}", f"give whole numbers: {option} 5,100,10000") from error
    if not numbers or not 1 <= numbers[0] <= numbers[-1] <= largest:
        raise Misconfigured(f"{option} must be 1 to {largest:,}", f"{option} 5,100,10000")
    return tuple(numbers)


def _parts(text: str) -> list[str]:
    return [part.strip().replace("_", "") for part in text.split(",") if part.strip()]
