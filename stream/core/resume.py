"""Where a partition goes on, and when it must not: totals and offsets may not part."""

from stream.errors import Refused

START_OVER = (
    "start over under new names: set STREAM_GROUP_ID, STREAM_RESULT_TOPIC and STREAM_COUNT_TOPIC to names "
    "not used before, run `anagram-stream topics create`, then `anagram-stream worker`"
)


def resume_offset(  # noqa: PLR0913 - six facts, one rule
    where: str,
    *,
    committed: int | None,
    committed_counted: bool,
    counted_to: int | None,
    first: int,
    end: int,
    reset_command: str,
) -> int:
    """Return the input offset to go on from.

    `where` names the partition, for people. `committed` is the group's offset (`committed_counted`:
    totals stand behind it), `counted_to` the input offset that the totals stand for, both None where
    there is none; `first` and `end` bound what the input's log holds.

    Raises:
        Refused: going on would count input twice, leave some out, or continue totals that are gone.
    """
    if committed is None and counted_to is None:
        return first
    refusal = None
    if committed is None:
        refusal = (
            f"the totals stand for the input up to offset {counted_to}, but the group has no committed "
            "offset (reset, expired, or another group); reading from the start would count twice"
        )
    elif counted_to is None and committed_counted:
        refusal = (
            f"the group committed offset {committed} with totals behind it, but the count topic has none "
            "(emptied, made anew, or another topic); going on would leave the earlier input out"
        )
    elif counted_to is not None and committed < counted_to:
        refusal = (
            f"the committed offset {committed} is below {counted_to}, up to which the totals stand "
            "(reset, or another group); going on would count twice"
        )
    elif committed > end:
        refusal = f"the committed offset {committed} is beyond the end of the log, {end} (made anew or cut)"
    if refusal is not None or committed is None:
        raise Refused(f"{where}: {refusal}", START_OVER)
    if committed < first:
        raise Refused(
            f"{where}: the committed offset {committed} is no longer in the log, which begins at {first} "
            f"(retention); {first - committed} offsets were never counted and are lost",
            f"accept the loss and go on with `{reset_command}`, or {START_OVER}",
        )
    return committed


def check_dictionary(where: str, counted_with: str | None, ours: str) -> None:
    """Make sure that the totals were counted with our dictionary (digests; None: nothing counted).

    Raises:
        Refused: another dictionary; totals of two dictionaries are the fold of neither.
    """
    if counted_with is not None and counted_with != ours:
        raise Refused(
            f"{where}: the totals were counted with another dictionary (digest {counted_with}, ours {ours})",
            f"set STREAM_DICTIONARY to the one that was used, or {START_OVER}",
        )
