"""Where a partition resumes, and when it must not: totals and committed offsets must belong together."""

from stream.errors import Refused

START_OVER = (
    "start over under new names: set STREAM_GROUP_ID, STREAM_RESULT_TOPIC and STREAM_COUNT_TOPIC to names "
    "not used before, run `anagram-stream topics create`, then `anagram-stream worker`"
)


def resume_offset(  # noqa: PLR0913 - six facts, one rule
    where: str,
    *,
    committed: int | None,
    committed_has_totals: bool,
    processed: int | None,
    first: int,
    end: int,
    reset_command: str,
) -> int:
    """Return the input offset to resume from.

    `where` names the partition in messages. `committed` is the group's committed offset, with
    `committed_has_totals` from its metadata; the totals cover all input before `processed`. Both are None if
    nothing was committed or counted. The input log holds the offsets from `first` to before `end`.

    Raises:
        Refused: resuming would count input twice, leave input out, or continue without the earlier totals.
    """
    if committed is None and processed is None:
        return first
    refusal = None
    if committed is None:
        refusal = (
            f"the totals cover the input before offset {processed}, but the group has no committed offset "
            "(reset, expired, or another group); reading from the start would count twice"
        )
    elif processed is None and committed_has_totals:
        refusal = (
            f"the group committed offset {committed} with totals, but the count topic has none "
            "(emptied, created again, or another topic); to go on would leave the earlier input out"
        )
    elif processed is not None and committed < processed:
        refusal = (
            f"the committed offset {committed} is below {processed}, up to which the totals go "
            "(reset, or another group); to go on would count twice"
        )
    elif committed > end:
        beyond = f"the committed offset {committed} is beyond the end of the log, {end}"
        refusal = f"{beyond} (the topic was created again, or its log was truncated)"
    if refusal is not None or committed is None:
        raise Refused(f"{where}: {refusal}", START_OVER)
    if committed < first:
        raise Refused(
            f"{where}: the committed offset {committed} is no longer in the log, which begins at {first} "
            f"(retention); {first - committed} offsets were never counted and are lost",
            f"accept the loss and go on with `{reset_command}`, or {START_OVER}",
        )
    return committed


def check_digest(where: str, recorded: str | None, own: str) -> None:
    """Check that the totals have the digest of this worker's dictionary.

    `recorded` is None if nothing was counted.

    Raises:
        Refused: they have another digest; continuing would mix the totals of two dictionaries.
    """
    if recorded is not None and recorded != own:
        raise Refused(
            f"{where}: the totals were counted with another dictionary (digest {recorded}, not {own})",
            f"set STREAM_DICTIONARY to the one that was used, or {START_OVER}",
        )
