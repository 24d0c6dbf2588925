"""Decides where a partition resumes, or refuses: its totals, committed offset and logs must match.

Every transaction writes the same input offset twice: as the group's committed offset, with `Evidence` in its
metadata, and as `ProcessedOffset` in the headers of its last changelog record. The worker, `doctor`,
`topics check` and `offsets` use this one rule.
"""

from collections.abc import Callable
from dataclasses import replace

from stream.core.partition_facts import PartitionFacts
from stream.errors import Refused

RESUME = "anagram-stream offsets resume"
START_OVER = (
    "start over under new names: `anagram-stream start-over --suffix v2` counts the input again next to the "
    "old topics, and lists what to switch"
)


def resume_offset(facts: PartitionFacts) -> int:
    """Return the input offset to resume from.

    Raises:
        Refused: resuming would count input twice, skip input, or continue without the earlier totals.
    """
    for check in _CHECKS:
        refusal = check(facts)
        if refusal is not None:
            raise refusal
    return facts.first if facts.committed is None else facts.committed.offset


def check_totals(facts: PartitionFacts) -> None:
    """Check that the totals can be continued, at any offset; a commit by another client does not matter.

    Raises:
        Refused: no committed offset makes the totals usable.
    """
    own = facts if facts.evidence or facts.is_of_earlier_version else replace(facts, committed=None)
    for check in _CHECKS_OF_TOTALS:
        refusal = check(own)
        if refusal is not None:
            raise refusal


def _refuse(facts: PartitionFacts, message: str, hint: str) -> Refused:
    return Refused(f"{facts.where}: {message}", hint)


def _other_dictionary(facts: PartitionFacts) -> Refused | None:
    digests = (
        facts.processed.digest if facts.processed else None,
        facts.evidence.digest if facts.evidence else None,
    )
    other = next((digest for digest in digests if digest not in {None, facts.digest}), None)
    if other is None:
        return None
    return _refuse(
        facts,
        f"the totals were counted with another dictionary (digest {other}, not {facts.digest})",
        f"set STREAM_DICTIONARY to the dictionary that was used, or {START_OVER}",
    )


def _input_recreated(facts: PartitionFacts) -> Refused | None:
    known = facts.evidence.topics.get("input") if facts.evidence else None
    known = known or (facts.processed.input_topic if facts.processed else None)
    if known in {None, facts.topics["input"]}:
        return None
    return _refuse(
        facts,
        f"{_another_topic(facts, 'input', known)}: its offsets belong to other records, and results and "
        "totals come from records that it does not contain; continuing would mix both",
        START_OVER,
    )


def _count_topic_recreated(facts: PartitionFacts) -> Refused | None:
    known = facts.evidence.topics.get("count") if facts.evidence else None
    if known in {None, facts.topics["count"]} or facts.committed is None:
        return None
    return _refuse(
        facts,
        f"{_another_topic(facts, 'count', known)}: it does not contain the totals of the input before offset "
        f"{facts.committed.offset}",
        START_OVER,
    )


def _outcomes_recreated(facts: PartitionFacts) -> Refused | None:
    if facts.evidence is None:
        return None
    for role in ("result", "dead-letter"):
        known = facts.evidence.topics.get(role)
        if role in facts.evidence.ends and known not in {None, facts.topics[role]}:
            return _refuse(
                facts,
                f"{_another_topic(facts, role, known)}: it does not contain the records for the input before "
                f"offset {facts.evidence.offset}; the totals are not affected",
                f"accept that loss and continue with `{RESUME} --accept-loss`, or {START_OVER}",
            )
    return None


def _another_topic(facts: PartitionFacts, role: str, known: str | None) -> str:
    setting = f"STREAM_{role.upper().replace('-', '_')}_TOPIC"
    return (
        f"{facts.names[role]} is not the same topic as before (id {known}, now {facts.topics[role]}): it "
        f"was deleted and created again, or {setting} was changed"
    )


def _no_committed_offset(facts: PartitionFacts) -> Refused | None:
    if facts.committed is not None or facts.processed is None:
        return None
    return _refuse(
        facts,
        "the group has no committed offset (it expired or was deleted, or this is another group), but the "
        f"totals cover the input before offset {facts.processed.input_offset}; reading from the start would "
        "count that input twice",
        "if STREAM_GROUP_ID was changed, set it back; otherwise continue exactly where the totals end with "
        f"`{RESUME}`",
    )


def _outcomes_alone(facts: PartitionFacts) -> Refused | None:
    if facts.committed is not None or facts.processed is not None or not facts.has_outcomes:
        return None
    return _refuse(
        facts,
        f"{facts.names['result']} or {facts.names['dead-letter']} has records of this partition, but the "
        f"group has no committed offset and {facts.names['count']} no totals (both were lost, or belong to "
        "other names); reading from the start would produce those records twice",
        START_OVER,
    )


def _foreign_commit(facts: PartitionFacts) -> Refused | None:
    """Another client committed: a plain consumer with this group id, or a tool that moves offsets."""
    if facts.committed is None or facts.evidence is not None or facts.is_of_earlier_version:
        return None
    offset = facts.committed.offset
    message = f"the committed offset {offset} was not written by this application"
    if facts.processed is None:
        message += (
            ", or by an earlier version that had counted no word; no totals exist, so continuing would skip "
            f"the input from {facts.first} to before {offset}"
        )
        accept = f"accept that with `{facts.skip} --to {offset}`"
    else:
        covered = facts.processed.input_offset
        message += f"; the totals cover the input before offset {covered}, so continuing would " + (
            f"skip the input from {covered} to before {offset}"
            if offset > covered
            else f"count the input from {offset} to before {covered} twice"
            if offset < covered
            else "rely on an offset that another client wrote"
        )
        accept = f"accept the loss with `{facts.skip} --to {offset}`"
    hint = f"continue exactly with `{RESUME}`"
    is_ahead = facts.processed is None or offset > facts.processed.input_offset
    if is_ahead and offset <= facts.end:
        hint += f", or {accept}"
    return _refuse(facts, message, hint)


def _totals_missing(facts: PartitionFacts) -> Refused | None:
    if facts.committed is None or facts.processed is not None:
        return None
    return _refuse(
        facts,
        f"the group committed offset {facts.committed.offset}, but {facts.names['count']} has no record of "
        "it (the topic was emptied, truncated or replaced): the totals of the earlier input are lost",
        START_OVER,
    )


def _moved_back(facts: PartitionFacts) -> Refused | None:
    if facts.committed is None or facts.processed is None:
        return None
    offset, covered = facts.committed.offset, facts.processed.input_offset
    if offset >= covered:
        return None
    return _refuse(
        facts,
        f"the committed offset {offset} is below {covered}, where the totals end (it was moved back, or "
        f"Kafka lost the commit); continuing would count the input from {offset} to before {covered} twice",
        f"continue exactly where the totals end with `{RESUME}`",
    )


def _earlier_version_ahead(facts: PartitionFacts) -> Refused | None:
    """An earlier version committed more than its changelog covers if the last records had no totals."""
    if not facts.is_of_earlier_version or facts.committed is None or facts.processed is None:
        return None
    if facts.committed.offset == facts.processed.input_offset:
        return None
    return _refuse(
        facts,
        f"an earlier version committed offset {facts.committed.offset}, but the totals cover the input "
        f"before offset {facts.processed.input_offset}: either the records in between had no totals "
        "(rejected, or no known word), or the changelog was truncated",
        f"run `{RESUME}`: it checks which is true, and continues exactly if no totals are lost",
    )


def _changelog_truncated(facts: PartitionFacts) -> Refused | None:
    if facts.evidence is None or facts.processed is None:
        return None
    known, end = facts.evidence.ends.get("count"), facts.output_ends.get("count")
    is_short = known is not None and end is not None and end < known.offset
    is_short = is_short and facts.evidence.offset >= facts.processed.input_offset
    if facts.evidence.offset <= facts.processed.input_offset and not is_short:
        return None
    return _refuse(
        facts,
        f"{facts.names['count']} was truncated (by an unclean leader election, or on disk): it "
        f"covers the input before offset {facts.processed.input_offset}, but the group committed offset "
        f"{facts.evidence.offset} with totals; the totals of the input in between are lost",
        f"restore the log from a replica, or {START_OVER}",
    )


def _outcomes_truncated(facts: PartitionFacts) -> Refused | None:
    if facts.evidence is None:
        return None
    for role in ("result", "dead-letter"):
        known, end = facts.evidence.ends.get(role), facts.output_ends.get(role)
        if known is not None and end is not None and end < known.offset:
            return _refuse(
                facts,
                f"{facts.names[role]}, partition {known.partition}, no longer contains the committed record "
                f"before offset {known.offset}: it was truncated to offset {end} or below; the totals are "
                "not affected",
                f"accept that loss and continue with `{RESUME} --accept-loss`, or restore the log from a "
                "replica",
            )
    return None


def _beyond_the_log(facts: PartitionFacts) -> Refused | None:
    if facts.committed is None or facts.committed.offset <= facts.end:
        return None
    return _refuse(
        facts,
        f"the committed offset {facts.committed.offset} is beyond the end of the log, {facts.end}: the log "
        "was truncated, and records that were counted no longer exist; new records would get their offsets",
        START_OVER,
    )


def _truncated_and_grown(facts: PartitionFacts) -> Refused | None:
    if facts.committed is None or not facts.is_truncated:
        return None
    return _refuse(
        facts,
        f"the log was truncated below the committed offset {facts.committed.offset} and has grown again (by "
        "an unclean leader election, or on disk): records that were counted no longer exist, and new records "
        "have their offsets",
        START_OVER,
    )


def _deleted_by_retention(facts: PartitionFacts) -> Refused | None:
    if facts.committed is None or facts.committed.offset >= facts.first:
        return None
    return _refuse(
        facts,
        f"the committed offset {facts.committed.offset} is no longer in the log, which begins at "
        f"{facts.first} (retention): the input from {facts.committed.offset} to before {facts.first} was "
        "never counted and is lost",
        f"accept the loss and continue with `{facts.skip} --to {facts.first}`, or {START_OVER}",
    )


_CHECKS: tuple[Callable[[PartitionFacts], Refused | None], ...] = (
    _other_dictionary,
    _input_recreated,
    _count_topic_recreated,
    _no_committed_offset,
    _outcomes_alone,
    _foreign_commit,
    _totals_missing,
    _moved_back,
    _earlier_version_ahead,
    _changelog_truncated,
    _beyond_the_log,
    _truncated_and_grown,
    _outcomes_recreated,
    _outcomes_truncated,
    _deleted_by_retention,
)
_CHECKS_OF_TOTALS = (*_CHECKS[:3], _totals_missing, _changelog_truncated, _truncated_and_grown)
