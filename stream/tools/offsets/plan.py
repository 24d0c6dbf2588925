"""Plans where partitions resume that the rule of `core/resume.py` refuses, and what is lost. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from stream.core.evidence import CommittedOffset, Evidence, LogEnds
from stream.core.partition_facts import PartitionFacts
from stream.core.processed_offset import ProcessedOffset
from stream.core.resume import START_OVER, check_totals, resume_offset
from stream.core.skipped import SkippedRange
from stream.errors import Refused

EARLIER_VERSION = "an earlier version committed the offset: its evidence is added"


class LastOutcome(NamedTuple):
    """The last outcome of a kind.

    Attributes:
        offset: offset of its input record; None if none was found.
        is_certain: whether no later one exists: retention deleted none, and all logs were read far enough.
    """

    offset: int | None = None
    is_certain: bool = True


NO_OUTCOME = LastOutcome()


@dataclass(frozen=True, slots=True)
class LastOutcomes:
    """The last outcomes of one input partition.

    Attributes:
        result: the last result.
        dead_letter: the last dead letter; for a skipped range, its last offset.
        is_uncounted: whether the input that the changelog does not cover, up to the last outcome, changed no
            total: each of its records has a dead letter or a result without counts.
        is_checked: whether all results that the changelog does not cover were read.
    """

    result: LastOutcome = NO_OUTCOME
    dead_letter: LastOutcome = NO_OUTCOME
    is_uncounted: bool = False
    is_checked: bool = True

    @property
    def last(self) -> int | None:
        """Input offset of the last outcome of any kind."""
        return max((o for o in (self.result.offset, self.dead_letter.offset) if o is not None), default=None)

    @property
    def is_certain(self) -> bool:
        return self.result.is_certain and self.dead_letter.is_certain


@dataclass(frozen=True, slots=True)
class Move:
    """A new committed offset of a partition.

    Attributes:
        offset: where the partition resumes.
        skipped: the input whose outcomes are lost, or which is not counted; None if nothing is lost.
        why: what is wrong now.
        loss: what is lost, in words; empty if nothing is.
    """

    facts: PartitionFacts
    offset: int
    skipped: SkippedRange | None
    why: str
    loss: str

    @property
    def ends(self) -> LogEnds:
        """The ends of the output logs in the current evidence, without those of logs that lost records."""
        evidence, held = self.facts.evidence, self.facts.output_ends
        ends = {} if evidence is None else evidence.ends
        return {role: end for role, end in ends.items() if held.get(role, -1) >= end.offset}

    @property
    def processed(self) -> ProcessedOffset:
        """How far the totals go after the move."""
        return ProcessedOffset(self.offset, self.facts.digest, self.facts.topics["input"])


def refusal_of(facts: PartitionFacts) -> Refused | None:
    """Return why a worker does not resume the partition; None if it does."""
    try:
        resume_offset(facts)
    except Refused as refusal:
        return refusal
    return None


def plan_resume(facts: PartitionFacts, outcomes: LastOutcomes, *, accept_loss: bool) -> Move | None:
    """Return the move to the exact offset; None if a worker resumes the partition as it is.

    Raises:
        Refused: the partition cannot resume exactly, or outcomes are lost and `accept_loss` is not given.
    """
    refusal = refusal_of(facts)
    if refusal is None and not facts.is_of_earlier_version:
        return None
    exact = exact_offset(facts, outcomes)
    _check_committed(facts, exact)
    lost = _accepted_loss(facts, outcomes, exact, accept_loss=accept_loss)
    why = EARLIER_VERSION if refusal is None else str(refusal).removeprefix(f"{facts.where}: ")
    skipped = SkippedRange(facts.partition, lost.start, exact, exact) if lost else None
    return Move(facts, exact, skipped, why, _outcomes_lost(lost))


def plan_skip(facts: PartitionFacts, outcomes: LastOutcomes, offset: int, *, accept_loss: bool) -> Move:
    """Return the move that skips input before the offset.

    Raises:
        Refused: the offset cannot be skipped to, or the totals cannot be continued.
    """
    exact = exact_offset(facts, outcomes)
    if offset <= exact:
        raise Refused(
            f"{facts.where}: the input before offset {exact} is counted, so there is nothing to skip before "
            f"{offset}",
            "resume exactly with `anagram-stream offsets resume`",
        )
    if not facts.first <= offset <= facts.end:
        raise Refused(
            f"{facts.where}: offset {offset} is not in the log, which starts at {facts.first} and ends at "
            f"{facts.end}",
            f"choose an offset of the log: {facts.skip} --to OFFSET",
        )
    _check_committed(facts, offset)
    lost = _accepted_loss(facts, outcomes, exact, accept_loss=accept_loss)
    refusal = refusal_of(facts)
    why = "skipped deliberately" if refusal is None else str(refusal).removeprefix(f"{facts.where}: ")
    number = offset - exact
    loss = f"input at {_offsets(exact, offset)} is not counted ({number} offset{'s' * (number > 1)})"
    skipped = (
        SkippedRange(facts.partition, lost.start, offset, exact)
        if lost
        else SkippedRange(facts.partition, exact, offset)
    )
    return Move(facts, offset, skipped, why, "; ".join(filter(None, (loss, _outcomes_lost(lost)))))


def exact_offset(facts: PartitionFacts, outcomes: LastOutcomes) -> int:
    """Return the offset before which all input is counted, and from which on none is.

    This version covers each outcome with a changelog record. An earlier version wrote none for input that
    changed no total, so its outcomes may go further than the changelog. Both may have counted in turn.

    Raises:
        Refused: totals are lost, or it is unknown how far input was counted.
    """
    check_totals(facts)
    processed, last = facts.processed, outcomes.last
    covered = 0 if processed is None else processed.input_offset
    after_last = 0 if last is None else last + 1
    if after_last > covered and not outcomes.is_uncounted:
        raise Refused(
            f"{facts.where}: the totals cover the input before offset {covered}, but the input up to offset "
            f"{last} has outcomes, some of them with counts: {facts.names['count']} was truncated or "
            "emptied, and totals are lost",
            START_OVER,
        )
    if refusal_of(facts) is None:
        return max(resume_offset(facts), after_last)
    exact = max(covered, after_last)
    if exact > covered or processed is None or processed.input_topic is None or facts.is_of_earlier_version:
        _check_outcomes_known(facts, outcomes, exact)
    return facts.first if processed is None and last is None else exact


def _check_outcomes_known(facts: PartitionFacts, outcomes: LastOutcomes, exact: int) -> None:
    """Check that no outcome of an earlier version from `exact` on can be unknown."""
    is_committed = facts.is_of_earlier_version and facts.committed and facts.committed.offset == exact
    unread = "result" if not outcomes.is_checked else "dead-letter"
    if outcomes.is_checked and (outcomes.dead_letter.is_certain or is_committed):
        return
    raise Refused(
        f"{facts.where}: no totals cover the input from offset {exact} on, and its outcomes in "
        f"{facts.names[unread]} cannot all be read (retention deleted some, or there are too many others), "
        "so it is unknown how far it was counted",
        START_OVER,
    )


def lost_outcomes(facts: PartitionFacts, outcomes: LastOutcomes, exact: int) -> range | None:
    """Return the input before `exact` whose outcomes may be lost; None if no outcome is lost."""
    starts = list(_lost_from(facts, outcomes))
    last = -1 if outcomes.last is None else outcomes.last
    if last + 1 < exact and outcomes.is_certain and (facts.processed or outcomes.last is not None):
        starts.append(last + 1)
    return range(max(facts.first, min(starts)), exact) if starts else None


def _lost_from(facts: PartitionFacts, outcomes: LastOutcomes) -> Iterator[int]:
    """Yield, for each output topic that lost records, the first input offset that this may affect."""
    evidence = facts.evidence
    if evidence is None:
        return
    for role, last in (("result", outcomes.result), ("dead-letter", outcomes.dead_letter)):
        known, end = evidence.ends.get(role), facts.output_ends.get(role)
        is_recreated = evidence.topics.get(role) not in {None, facts.topics[role]}
        if known is not None and (is_recreated or (end is not None and end < known.offset)):
            yield 0 if last.offset is None else last.offset + 1


def _accepted_loss(
    facts: PartitionFacts, outcomes: LastOutcomes, exact: int, *, accept_loss: bool
) -> range | None:
    lost = lost_outcomes(facts, outcomes, exact)
    if lost is not None and not accept_loss:
        refusal = refusal_of(facts)
        raise Refused(
            f"{facts.where}: {_outcomes_lost(lost)}; the totals are not affected"
            if refusal is None
            else f"{refusal}; {_outcomes_lost(lost)}",
            "accept the loss with --accept-loss, or restore the log from a replica",
        )
    return lost


def _outcomes_lost(lost: range | None) -> str:
    if lost is None:
        return ""
    if not lost:
        return "outcomes of input that retention deleted are lost"
    return f"outcomes of the input at {_offsets(lost.start, lost.stop)} are lost"


def _offsets(start: int, stop: int) -> str:
    return f"offset {start}" if stop - start == 1 else f"offsets {start} to {stop - 1}"


def _check_committed(facts: PartitionFacts, offset: int) -> None:
    """Check that a worker resumes from the offset once it is committed."""
    evidence = Evidence(offset, facts.topics, facts.digest)
    committed = CommittedOffset(offset, evidence.encode())
    processed = ProcessedOffset(offset, facts.digest, facts.topics["input"])
    resume_offset(replace(facts, committed=committed, processed=processed))
