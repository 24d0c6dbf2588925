from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stream.core.rebuild import plan_rebuild

offsets = st.integers(0, 30)


@given(st.lists(st.sampled_from("abc"), max_size=30), offsets, offsets, st.none() | offsets)
def test_planned_sum_equals_the_sum_over_the_input_before_the_target(
    words: list[str], log_start: int, target: int, counted_to: int | None
) -> None:
    """The plan may start from totals and add or subtract input; it never reads deleted input."""
    log_start, target = min(log_start, len(words)), min(target, len(words))
    counted_to = None if counted_to is None else min(counted_to, len(words))
    plan = plan_rebuild(log_start, target, counted_to)
    if plan is None:
        assert log_start > min(target, target if counted_to is None else counted_to) or counted_to is None
        assert target != counted_to
        return
    assert plan.target == target
    if plan.offsets:
        assert plan.first >= log_start
    total = Counter(words[:counted_to]) if plan.from_totals else Counter()
    for word in words[plan.first : plan.end]:
        total[word] += plan.sign
    assert +total == Counter(words[:target])
    assert all(number >= 0 for number in total.values())


def test_whole_input_is_read_even_if_there_are_totals() -> None:
    """A rebuild does not depend on the totals if it can read the whole input."""
    plan = plan_rebuild(0, 7, 20)
    assert plan is not None
    assert (plan.first, plan.end, plan.from_totals) == (0, 7, False)
