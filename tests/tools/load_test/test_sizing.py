import pytest

from stream.tools.load_test.figures import Throughput
from stream.tools.load_test.output_check import OutputCheck
from stream.tools.load_test.sizing import WORDS_MAX, blobs_of, more_blobs, pilot_blobs


def measured(words: int, steady: float | None, words_per_blob: int = 100) -> Throughput:
    blobs = words // words_per_blob
    return Throughput(
        words_per_blob, 4, 10, 1, blobs, words, 1.0, 2.0, steady, 1.0, None, 100.0, OutputCheck(blobs)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "length", "partitions"), [(1_000, 7, 4), (1, 1_000_000, 64), (10**7, 5, 3)]
)
def test_each_partition_gets_the_same_number_of_blobs(words: int, length: int, partitions: int) -> None:
    blobs = blobs_of(words, length, partitions)
    assert blobs % partitions == 0
    assert blobs >= partitions
    assert abs(blobs * length - words) <= length * partitions


@pytest.mark.parametrize("length", [1, 5, 100, 10_000, 1_000_000])
def test_pilot_is_small(length: int) -> None:
    assert pilot_blobs(length, 4) * length <= max(1_000_000, 4 * length)


def test_next_run_takes_the_duration_at_the_rate_of_the_pilot() -> None:
    assert more_blobs(measured(1_000_000, 500_000.0), 10) * 100 == 5_000_000


def test_short_pilot_without_a_rate_is_followed_by_a_much_larger_one() -> None:
    assert more_blobs(measured(1_000_000, None), 10) * 100 == 8_000_000


def test_long_pilot_without_a_rate_is_doubled() -> None:
    assert more_blobs(measured(1_000_000, None), 1.5) * 100 == 2_000_000


def test_pilot_that_took_long_enough_is_not_repeated() -> None:
    pilot = measured(1_000_000, 90_000.0)
    assert more_blobs(pilot, 10) <= pilot.blobs


def test_growth_is_bounded() -> None:
    assert more_blobs(measured(WORDS_MAX, None), 10) <= WORDS_MAX // 100
