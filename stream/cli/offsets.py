"""`offsets show`, `offsets resume` and `offsets skip`: whether a group can continue, and where."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
import typer

from stream.cli.app import admin_client, err, examples, out, quantity, report_error, settings, watch_cluster
from stream.cli.listing import Column, Format, JsonOption, Rows, quiet_pipe, write_line
from stream.config import Settings
from stream.dictionary import load_index
from stream.errors import Fatal, Misconfigured, Refused
from stream.tools.offsets.operation import OffsetsOperation, PartitionState, Plan
from stream.tools.offsets.plan import LastOutcome, Move, plan_resume, plan_skip, refusal_of

METADATA_CHARS_MAX = 60  # of another client's metadata, in the table

app = typer.Typer(
    no_args_is_help=True,
    help="Show and correct the committed offsets of the group.",
    rich_markup_mode="rich",
)

_STATES = (
    Column("partition", right=True),
    Column("committed", right=True),
    Column("written by", least=12, flexible=True),
    Column("totals cover", right=True),
    Column("last result", right=True, optional=2),
    Column("last dead letter", right=True, optional=3),
    Column("log", optional=1),
    Column("verdict", least=12, flexible=True),
)
_MOVES = (
    Column("partition", right=True),
    Column("from", right=True),
    Column("to", right=True),
    Column("why", least=20, flexible=True),
    Column("lost", least=20, flexible=True),
)
AcceptLoss = Annotated[
    bool, typer.Option("--accept-loss", help="Continue even if results or dead letters are lost.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Change the offsets without asking for confirmation.")]


@app.command(epilog=examples("anagram-stream offsets show", "anagram-stream offsets show --format json"))
def show(output_format: JsonOption = Format.TABLE) -> None:
    """Show the committed offset of each partition, who wrote it, and whether it agrees with the totals.

    A worker refuses a partition for the same reasons. Exit status 1 if a partition is refused.
    """
    chosen = settings()
    watch_cluster(chosen)
    states = _operation(chosen).read()
    refused = [refusal for each in states if (refusal := refusal_of(each.facts)) is not None]
    with quiet_pipe():
        if output_format is Format.JSON:
            report = {"group": chosen.group_id, "topic": chosen.input_topic, "refused": len(refused)}
            write_line(orjson.dumps(report | {"partitions": [_object(each) for each in states]}))
        else:
            rows = Rows(_STATES)
            for each in states:
                rows.add(*_cells(each))
            rows.flush()
            for refusal in refused:
                report_error(refusal)
    raise typer.Exit(1 if refused else 0)


@app.command(
    epilog=examples(
        "anagram-stream offsets resume",
        "anagram-stream offsets resume --partition 3 --yes",
        "anagram-stream offsets resume --accept-loss",
    )
)
def resume(
    partition: Annotated[
        list[int] | None, typer.Option(min=0, help="Only this partition. Repeatable.")
    ] = None,
    accept_loss: AcceptLoss = False,
    yes: Yes = False,
) -> None:
    """Commit the exact offset to continue from, for each partition that a worker refuses.

    This is the offset that the totals cover, so nothing is counted twice or left out. Partitions that a
    worker accepts do not change. The group must have no members.
    """
    chosen = settings()
    watch_cluster(chosen)

    def plan(states: Sequence[PartitionState]) -> list[Move]:
        selected = [each for each in states if not partition or each.facts.partition in partition]
        _check_partitions(partition or [], states)
        planned = (plan_resume(each.facts, each.outcomes, accept_loss=accept_loss) for each in selected)
        return [move for move in planned if move is not None]

    _change(chosen, plan, yes=yes)


@app.command(
    epilog=examples(
        "anagram-stream offsets skip --partition 3 --to 120000",
        "anagram-stream offsets skip --partition 3 --to end --yes",
    )
)
def skip(
    partition: Annotated[int, typer.Option(min=0, help="Partition of the input topic.")],
    to: Annotated[str, typer.Option(metavar="OFFSET|end", help="First offset to count again.")],
    accept_loss: AcceptLoss = False,
    yes: Yes = False,
) -> None:
    """Skip input deliberately: everything from the end of the totals up to, but not including, an offset.

    The skipped range is recorded in the dead-letter topic, and `anagram-stream verify` reports it as skipped.
    The group must have no members.
    """
    if to != "end" and not to.isdecimal():
        raise Misconfigured(f"--to: '{to}' is neither an offset nor `end`")
    target = None if to == "end" else int(to)
    chosen = settings()
    watch_cluster(chosen)

    def plan(states: Sequence[PartitionState]) -> list[Move]:
        nonlocal target
        _check_partitions([partition], states)
        state = states[partition]
        if target is None:  # planned again before the write; the end may have grown
            target = state.facts.end
        return [plan_skip(state.facts, state.outcomes, target, accept_loss=accept_loss)]

    _change(chosen, plan, yes=yes)


def _operation(chosen: Settings) -> OffsetsOperation:
    return OffsetsOperation(chosen, admin_client(chosen), load_index(chosen.dictionary).digest)


def _change(chosen: Settings, plan: Plan, *, yes: bool) -> None:
    """Show the planned moves, ask, and commit them."""
    operation = _operation(chosen)
    operation.check_unused()
    moves = plan(operation.read())
    if not moves:
        out.print("nothing to do: a worker accepts these partitions as they are")
        return
    rows = Rows(_MOVES)
    for move in moves:
        committed = move.facts.committed
        origin = "-" if committed is None else str(committed.offset)
        rows.add(str(move.facts.partition), origin, str(move.offset), move.why, move.loss or "nothing")
    rows.flush()
    if not yes:
        if not sys.stdin.isatty():
            raise Refused("no terminal to ask on; nothing was changed", "run the command again with --yes")
        if not typer.confirm(f"Commit these offsets for group {chosen.group_id}?", err=True):
            raise Fatal("nothing was changed")
    operation.write(moves, plan)
    err.print(f"committed the offsets of {quantity(len(moves), 'partition')}; start the workers again")


def _check_partitions(partitions: Sequence[int], states: Sequence[PartitionState]) -> None:
    for number in partitions:
        if number >= len(states):
            topic = states[0].facts.names["input"]
            raise Misconfigured(
                f"{topic} has no partition {number}; its partitions are 0 to {len(states) - 1}"
            )


def _author(state: PartitionState) -> str:
    facts = state.facts
    if facts.committed is None:
        return "-"
    if facts.evidence is not None:
        return "this application"
    if facts.is_of_earlier_version:
        return "an earlier version"
    metadata = facts.committed.metadata
    return f"another client: {metadata[:METADATA_CHARS_MAX]}" if metadata else "another client"


def _outcome(last: LastOutcome) -> str:
    if last.offset is not None:
        return str(last.offset)
    return "-" if last.is_certain else "not found"


def _cells(state: PartitionState) -> tuple[str, ...]:
    facts, refusal = state.facts, refusal_of(state.facts)
    return (
        str(facts.partition),
        "-" if facts.committed is None else str(facts.committed.offset),
        _author(state),
        "-" if facts.processed is None else str(facts.processed.input_offset),
        _outcome(state.outcomes.result),
        _outcome(state.outcomes.dead_letter),
        f"{facts.first} to {facts.end}",
        "ok" if refusal is None else "refused: " + str(refusal).removeprefix(f"{facts.where}: "),
    )


def _object(state: PartitionState) -> dict[str, Any]:
    facts, outcomes, refusal = state.facts, state.outcomes, refusal_of(state.facts)
    committed, evidence = facts.committed, facts.evidence
    ends = {} if evidence is None else {role: end._asdict() for role, end in evidence.ends.items()}
    return {
        "partition": facts.partition,
        "committed_offset": None if committed is None else committed.offset,
        "written_by": None if committed is None else _author(state),
        "metadata": None if committed is None else committed.metadata,
        "leader_epoch": None if committed is None or committed.leader_epoch < 0 else committed.leader_epoch,
        "totals_cover": None if facts.processed is None else facts.processed.input_offset,
        "last_result": outcomes.result.offset,
        "last_dead_letter": outcomes.dead_letter.offset,
        "outcomes_certain": outcomes.is_certain,
        "log_start": facts.first,
        "log_end": facts.end,
        "evidence": None if evidence is None else {"topics": evidence.topics, "ends": ends},
        "refused": None if refusal is None else str(refusal),
        "fix": None if refusal is None else refusal.hint,
    }
