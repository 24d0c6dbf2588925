import pytest

from stream.errors import Misconfigured
from stream.tools.load_test.options import LoadTestOptions, Rate, parse_numbers, parse_rates


def options(rates: str, *, throughput: bool = True, live_words: int = 20) -> LoadTestOptions:
    return LoadTestOptions(
        throughput, True, True, True, 1.0, 0.5, 0, parse_rates(rates), (0, 20), (5, 20), live_words, 0, 4, 1
    )  # fmt: skip


def test_rates_are_numbers_and_percentages() -> None:
    assert parse_rates("500, 2_000,50%") == (Rate(500), Rate(2_000), Rate(50, is_share=True))
    assert Rate(50, is_share=True).blobs_per_s(3_000) == 1_500
    assert Rate(50).blobs_per_s(3_000) == 50


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "nan", "inf", "500,,x", "2000000", "5%%x"])
def test_invalid_rate_is_an_error(text: str) -> None:
    with pytest.raises(Misconfigured, match="--rates"):
        parse_rates(text)


def test_numbers_are_sorted_and_distinct() -> None:
    assert parse_numbers("--blob-words", "100,5,100", 1_000) == (5, 100)


@pytest.mark.parametrize("text", ["", "x", "0", "1001", "5.5"])
def test_invalid_number_is_an_error(text: str) -> None:
    with pytest.raises(Misconfigured, match="--blob-words"):
        parse_numbers("--blob-words", text, 1_000)


def test_percentage_needs_a_measured_throughput() -> None:
    options("50%").check_rates(attached=False)
    options("50", throughput=False).check_rates(attached=True)
    for wrong, attached in (
        (options("50%", throughput=False), False),
        (options("50%", live_words=7), False),
        (options("50%"), True),
    ):
        with pytest.raises(Misconfigured, match="50%"):
            wrong.check_rates(attached=attached)
