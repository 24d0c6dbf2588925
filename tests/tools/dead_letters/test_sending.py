from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from support.topics import settings_of

from stream.core.records import OutputRecord
from stream.tools.dead_letters.sending import BATCH_RECORDS, ReplayLimits, Sending, Unsent
from stream.tools.dead_letters.transactions import Replayed

RECORD = OutputRecord("blobs", 0, None, b"x")
Items = list[Replayed | Unsent]


def items_of(partitions: list[tuple[int, bool]]) -> Items:
    """Return items with ascending offsets in each partition; items marked False are not sent."""
    items, offsets = Items(), dict[int, int]()
    for partition, is_sent in partitions:
        offset = offsets[partition] = offsets.get(partition, 0) + 2
        items.append(Replayed(partition, offset, "bad-json", RECORD) if is_sent else (partition, offset))
    return items


def sending(limits: ReplayLimits) -> Sending:
    return Sending(settings_of({}), cast("Any", None), cast("Any", None), limits, in_order=True)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=80),
    st.none() | st.integers(1, 50),
    st.none() | st.sampled_from([1.0, 4.0, 10.0]),
)
def test_position_is_before_the_first_dead_letter_that_is_not_sent(
    partitions: list[tuple[int, bool]], letters_max: int | None, rate: float | None
) -> None:
    items, limits = items_of(partitions), ReplayLimits(letters_max, rate)
    wanted = [item for item in items if isinstance(item, Replayed)][:letters_max]
    sent = list[Replayed]()
    for batch, positions in sending(limits)._batches(items):
        assert 0 < len(batch) <= limits.batch_records
        sent += batch
        for partition, position in positions.items():
            last = max(each.offset for each in sent if each.partition == partition)
            before = [i for i in items if i[0] == partition and i[1] < last and not isinstance(i, Replayed)]
            assert position == (before[0][1] if before else last + 1)
    assert sent == wanted


def test_nothing_is_sent_once_the_limit_is_reached() -> None:
    """After a failure the rest of the batch may turn out to be committed."""
    limited = sending(ReplayLimits(letters_max=2))
    limited.sent["bad-json"] = 2
    assert list(limited._batches(items_of([(0, True)] * 3))) == []


def test_batches_are_small_with_a_low_rate() -> None:
    assert ReplayLimits(rate=0.1).batch_records == 1
    assert ReplayLimits(rate=100).batch_records == 50
    assert ReplayLimits().batch_records == ReplayLimits(rate=1e9).batch_records == BATCH_RECORDS
