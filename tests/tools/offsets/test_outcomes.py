"""Conclusions about the input from the dead letters and results that were read."""

from stream.core.skipped import SkippedRange
from stream.tools.offsets.outcomes import (
    RESULTS_MAX,
    Outcome,
    certain_partitions,
    dead_letter_partitions,
    read_dead_letter,
    uncounted_gaps,
)


def rejected(partition: int, offset: int) -> Outcome:
    return Outcome(partition, offset, range(offset, offset + 1))


def counted(offset: int) -> Outcome:
    return Outcome(0, offset, range(0))


def test_dead_letters_may_be_where_any_smaller_partition_count_put_them() -> None:
    assert dead_letter_partitions(range(4), 1) == {0: {0}, 1: {0}, 2: {0}, 3: {0}}
    assert dead_letter_partitions(range(4), 3) == {0: {0}, 1: {0, 1}, 2: {0, 2}, 3: {0, 1}}


def test_last_dead_letter_is_certain_if_each_of_its_partitions_was_read_back_to_one_or_entirely() -> None:
    homes = dead_letter_partitions(range(3), 2)
    entries = {0: [rejected(1, 2), rejected(0, 5)], 1: [rejected(1, 7)]}
    assert certain_partitions(homes, entries, whole=set()) == {0, 1}
    assert certain_partitions(homes, entries, whole={0}) == {0, 1, 2}
    assert certain_partitions(homes, {0: [], 1: [rejected(1, 7)]}, whole=set()) == set()
    assert certain_partitions(homes, {0: [], 1: []}, whole={1}) == set()
    assert certain_partitions(homes, {0: [], 1: []}, whole={0, 1}) == {0, 1, 2}


def test_input_after_the_totals_is_uncounted_if_each_offset_has_an_outcome_without_counts() -> None:
    assert uncounted_gaps(5, [counted(4), rejected(0, 5), rejected(0, 6)]) == set()
    assert uncounted_gaps(5, [counted(4), rejected(0, 6), rejected(0, 9)]) == {5, 7, 8}
    assert uncounted_gaps(5, [counted(5), rejected(0, 6)]) is None
    assert uncounted_gaps(5, [counted(4)]) == uncounted_gaps(5, []) == set()
    assert uncounted_gaps(0, [rejected(0, RESULTS_MAX)]) is None


def test_dead_letters_of_other_groups_and_topics_are_left_out() -> None:
    headers = SkippedRange(3, 5, 8).headers("blobs", "group")
    assert read_dead_letter(headers, "blobs", "group") == Outcome(3, 7, range(5, 8))
    assert read_dead_letter(headers, "blobs", "another") is None
    assert read_dead_letter(headers, "others", "group") is None
    assert read_dead_letter([], "blobs", "group") is None
    named = [(name, value) for name, value in headers if "reason" not in name]
    assert read_dead_letter(named, "blobs", "group") == Outcome(3, 5, range(5, 6))
    assert read_dead_letter([(n, v) for n, v in named if "offset" not in n], "blobs", "group") is None


def test_accepted_loss_of_outcomes_does_not_show_that_no_total_changed() -> None:
    lost = read_dead_letter(SkippedRange(3, 5, 8, counted_to=8).headers("blobs", "group"), "blobs", "group")
    assert lost is not None
    assert (lost.last, len(lost.uncounted)) == (7, 0)
    assert uncounted_gaps(5, [lost]) is None
    both = read_dead_letter(SkippedRange(3, 5, 9, counted_to=7).headers("blobs", "group"), "blobs", "group")
    assert both == Outcome(3, 8, range(7, 9))
