"""Plans how to compute the totals of a partition as of an input offset from the remaining logs. Pure.

Totals are sums: the totals as of an earlier offset are the current ones minus what was counted after it. So
only the input between the two offsets is needed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What to read for the totals of the input before `target`.

    Attributes:
        first: the offset of the first input record to fold.
        end: the offset after the last record to fold.
        sign: 1 to add the records to the base, -1 to subtract them.
        from_totals: whether the totals of the count topic are the base; otherwise the base is empty.
    """

    target: int
    first: int
    end: int
    sign: int = 1
    from_totals: bool = False

    @property
    def offsets(self) -> int:
        """Number of input offsets to read."""
        return self.end - self.first


def plan_rebuild(log_start: int, target: int, counted_to: int | None) -> RebuildPlan | None:
    """Return how to compute the totals of the input before `target`; None if the logs do not allow it.

    The input is read from its beginning, unless retention deleted the beginning: then the totals of the count
    topic are the base. They cover the input before `counted_to`, which is None if there are no totals.
    """
    if log_start == 0 or target == 0:
        return RebuildPlan(target, 0, target)
    if counted_to is None or min(target, counted_to) < log_start:
        is_known = counted_to is not None and target == counted_to
        return RebuildPlan(target, target, target, from_totals=True) if is_known else None
    if target >= counted_to:
        return RebuildPlan(target, counted_to, target, from_totals=True)
    return RebuildPlan(target, target, counted_to, sign=-1, from_totals=True)
