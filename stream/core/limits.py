"""Rejections in a row -> go on, or stop."""

from collections.abc import Iterable

from stream.errors import Fatal


def rejected_in_a_row(before: int, rejected: Iterable[bool], in_a_row_max: int) -> int:
    """Return how many records in a row are rejected now; `in_a_row_max` 0 is no limit.

    The caller keeps the figure only after the commit, so that a batch done again counts once.

    Raises:
        Fatal: more in a row than allowed: the fault is then ours, not the data's, and going on
            would drain the input into dead letters.
    """
    run = before
    for was_rejected in rejected:
        run = run + 1 if was_rejected else 0
        if in_a_row_max and run > in_a_row_max:
            raise Fatal(
                f"{run} records in a row were rejected, more than "
                f"STREAM_REJECTED_IN_A_ROW_MAX={in_a_row_max} allows; nothing of this batch was committed"
            )
    return run
