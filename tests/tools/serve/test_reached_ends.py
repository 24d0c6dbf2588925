from stream.tools.serve.freshness import ReachedEnds

COUNTS, RESULTS = "signature-counts", "anagram-results"


def test_age_is_unknown_until_the_end_was_reached_once() -> None:
    reached = ReachedEnds()
    assert reached.age_s([COUNTS], 1.0) is None
    reached.measured(COUNTS, 1.0, {0: 5, 1: 7})
    reached.update({(COUNTS, 0): 5, (COUNTS, 1): 6})
    assert reached.age_s([COUNTS], 2.0) is None
    reached.update({(COUNTS, 0): 5, (COUNTS, 1): 7})
    assert reached.age_s([COUNTS], 4.0) == 3.0


def test_age_is_that_of_the_last_measurement_that_was_reached() -> None:
    """A view that falls behind later is complete as of the last measurement that it reached."""
    reached = ReachedEnds()
    for at_s, end in ((1.0, 5), (2.0, 8), (3.0, 20)):
        reached.measured(COUNTS, at_s, {0: end})
    reached.update({(COUNTS, 0): 8})
    assert reached.age_s([COUNTS], 10.0) == 8.0
    reached.update({(COUNTS, 0): 20})
    assert reached.age_s([COUNTS], 10.0) == 7.0


def test_age_of_several_topics_is_that_of_the_oldest() -> None:
    reached = ReachedEnds()
    reached.measured(COUNTS, 1.0, {0: 1})
    reached.measured(RESULTS, 2.0, {0: 1})
    reached.update({(COUNTS, 0): 1, (RESULTS, 0): 1})
    assert reached.age_s([RESULTS], 3.0) == 1.0
    assert reached.age_s([COUNTS, RESULTS], 3.0) == 2.0
    assert reached.age_s([COUNTS, "dead-letters"], 3.0) is None


def test_a_view_that_is_behind_for_long_still_reaches_the_oldest_measurement() -> None:
    reached = ReachedEnds()
    for number in range(10_000):
        reached.measured(COUNTS, float(number), {0: number})
    reached.update({(COUNTS, 0): 100})
    assert reached.age_s([COUNTS], 100.0) == 0.0
