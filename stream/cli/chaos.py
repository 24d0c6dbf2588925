"""`chaos`: injects faults into a real Kafka and shows the score."""

import secrets
import shutil
import signal
import tempfile
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from stream.cli.app import err, out, quantity
from stream.cli.chaos_requests import describe_requests
from stream.cli.listing import Format
from stream.cli.shown import Shown
from stream.config import load_settings
from stream.errors import Misconfigured
from stream.tools.chaos.accident import Accident, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.tools.chaos.accident import AccidentReport
    from stream.tools.chaos.options import CampaignOptions
    from stream.tools.chaos.score import Score

SEEDS = 1_000_000
PER_BLOB, BATCH = 50, 10_000
PLAN_HELP = (
    "`drawn`: faults of all classes, drawn from the seed. `kafka`: as in Kafka's own transactions test, with "
    "100,000 records, 750 per transaction: each worker is restarted three times, and the broker is killed."
)
PROCESSES_HELP = "Processes of each worker. With several, faults also kill one, or the supervisor."
SEED_HELP = "Seed for faults, texts and pace. By default a random seed, which is printed."
ACCIDENT_HELP = (
    f"Cause an accident once, after half of the faults: {', '.join(Accident)}. The workers must refuse to "
    "continue, or stay exact. After a refusal, the campaign runs the command that the refusal names."
)
STATIC_HELP = "Static or dynamic group members. By default static with `classic`, otherwise dynamic."
NODES_HELP = (
    "Number of Kafka nodes: 1, 3, 5 or 7, with three replicas. With several nodes, every second fault "
    "affects the cluster: a broker with a certain role is killed, stopped or frozen; all brokers are "
    "restarted one by one; leaders move; too few replicas are in sync; two brokers or all in-sync replicas "
    "go down. Probes, which are bare transactions, run beside the workers and show Kafka's share of a stall."
)
NODES_HINT = "omit --nodes: with several nodes, an unclean election truncates only the input"
KAFKA_BLOBS, KAFKA_WORDS, KAFKA_BATCH = 100_000, 5, 750


class Plan(StrEnum):
    """The source of the faults."""

    DRAWN = "drawn"
    KAFKA = "kafka"


class GroupProtocol(StrEnum):
    CONSUMER = "consumer"
    CLASSIC = "classic"


PlanOption = Annotated[Plan, typer.Option(help=PLAN_HELP)]
Words = Annotated[int, typer.Option(min=1_000, help="Number of words in the input.")]
Faults = Annotated[int, typer.Option(min=0, help="Number of faults of all classes.")]
Duration = Annotated[float, typer.Option(min=0, help="Minimum duration of all faults together, in seconds.")]
Protocol = Annotated[GroupProtocol, typer.Option(help="Group protocol of the workers.")]
Static = Annotated[bool | None, typer.Option("--static/--dynamic", help=STATIC_HELP)]
Seed = Annotated[int | None, typer.Option(min=0, help=SEED_HELP)]
Workers = Annotated[int, typer.Option(min=1, max=16, help="Number of workers.")]
Processes = Annotated[int, typer.Option(min=1, max=16, help=PROCESSES_HELP)]
Partitions = Annotated[int, typer.Option(min=1, max=64, help="Partitions of the input topic.")]
AccidentOption = Annotated[Accident | None, typer.Option(metavar="ACCIDENT", help=ACCIDENT_HELP)]
Nodes = Annotated[int, typer.Option(min=1, max=7, help=NODES_HELP)]
OutputFormat = Annotated[Format, typer.Option("--format", help="Output format.")]


def chaos(  # noqa: PLR0913 - a command's options
    *,
    plan: PlanOption = Plan.DRAWN,
    words: Words = 1_000_000,
    faults: Faults = 26,
    duration: Duration = 0.0,
    protocol: Protocol = GroupProtocol.CONSUMER,
    static: Static = None,
    seed: Seed = None,
    workers: Workers = 3,
    processes: Processes = 1,
    partitions: Partitions = 6,
    accident: AccidentOption = None,
    nodes: Nodes = 1,
    output_format: OutputFormat = Format.TABLE,
) -> None:
    """Inject faults into a real Kafka and its workers under load, then check that counts are exact.

    Starts its own Apache Kafka and workers, and kills, pauses, replaces and disconnects them while a reader
    reads the results. Then a second reader and `verify` check that nothing was lost or counted twice.
    Exit status 1 if a guarantee was broken.
    """
    from stream.tools.chaos.options import CampaignOptions  # noqa: PLC0415 - slow to import
    from stream.tools.chaos.plan import bounces, draw  # noqa: PLC0415
    from stream.tools.chaos.producer import InputSize  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: stops all processes
    is_static = protocol is GroupProtocol.CLASSIC if static is None else static
    chosen_seed = secrets.randbelow(SEEDS) if seed is None else seed
    if plan is Plan.DRAWN:
        size, batch = InputSize(max(1, words // PER_BLOB), PER_BLOB), BATCH
        planned = draw(chosen_seed, faults, protocol.value, processes, nodes)
    else:
        size, batch = InputSize(KAFKA_BLOBS, KAFKA_WORDS), KAFKA_BATCH
        planned = bounces(workers, nodes)
    members = chosen_seed, protocol.value, is_static
    options = CampaignOptions(
        *members,
        size,
        planned,
        duration,
        workers,
        processes,
        partitions,
        batch,
        load_settings(group_protocol=protocol.value, static_membership=is_static).java,
        accident,
        nodes,
    )
    _run(options, output_format)


def _run(options: "CampaignOptions", output_format: Format) -> None:
    """Run the campaign, print the score, and exit with status 1 if a guarantee was broken.

    Raises:
        Misconfigured: the accident is not possible on several nodes.
    """
    from stream.tools.chaos.campaign import Campaign  # noqa: PLC0415 - slow to import

    if options.accident is not None and not options.accident.is_possible(options.nodes):
        raise Misconfigured(f"--accident {options.accident} needs a cluster of one node", NODES_HINT)
    folder = Path(tempfile.mkdtemp(prefix="anagram-stream-chaos-"))
    with _LiveScore() as live_score:
        score = Campaign(options, folder, live_score.show).run()
    if score.holds:
        shutil.rmtree(folder, ignore_errors=True)
    if output_format is Format.JSON:
        out.print_json(orjson.dumps(score.as_json()).decode(), indent=None)
    else:
        out.print(_score_table(score))
        out.print(_verdict(score))
    if not score.holds:
        err.print(f"logs and state of the workers are kept in {folder}", markup=False)
        raise typer.Exit(1)


class _LiveScore(Shown):
    """The score during the campaign: redrawn on a terminal, silent in a pipe."""

    def __init__(self) -> None:
        self._score: Score | None = None
        self._live = Live(get_renderable=self._draw, console=err, refresh_per_second=4, transient=True)
        super().__init__(self._live, on=err.is_terminal)

    def _draw(self) -> RenderableType:
        return "" if self._score is None else _score_table(self._score)

    def show(self, score: "Score") -> None:
        self._score = score


def _score_table(score: "Score") -> RenderableType:
    faults = Table(box=None, padding=(0, 2))
    faults.add_column("fault", style="cyan")
    faults.add_column("times", justify="right")
    faults.add_column("median stall, s", justify="right")
    faults.add_column("worst stall, s", justify="right")
    if score.nodes > 1:
        faults.add_column("probe: median, s", justify="right")
        faults.add_column("worst, s", justify="right")
    for kind, times in sorted(score.faults.items()):
        stalls = _median_and_worst(score.stalls_s.get(kind))
        probed = _median_and_worst(score.probe_stalls_s.get(kind)) if score.nodes > 1 else ()
        faults.add_row(kind, str(times), *stalls, *probed)
    membership = "static" if score.static else "dynamic"
    nodes = f"{quantity(score.nodes, 'node')}, " if score.nodes > 1 else ""
    head = (
        f"[bold]seed {score.seed}, {nodes}{score.protocol} protocol, {membership} members, "
        f"{score.group_settings} group settings[/bold]: {score.phase}\n"
        f"{score.sent:,} of {score.blobs:,} blobs sent, {score.outcomes:,} outcomes seen, "
        f"{score.unseen:,} unseen"
    )
    return Group(head, faults, _facts(score))


def _median_and_worst(stalls: "Sequence[float] | None") -> tuple[str, str]:
    return (f"{median(stalls):.1f}", f"{max(stalls):.1f}") if stalls else ("", "")


def _facts(score: "Score") -> RenderableType:
    facts = Table(box=None, padding=(0, 2), show_header=False)
    facts.add_column(style="cyan")
    facts.add_column()
    aborted = ", ".join(f"{n} {outcome}" for outcome, n in sorted(score.aborts.items())) or "none aborted"
    facts.add_row("transactions", f"at least {score.commits:,} committed; {aborted}")
    if score.wire:
        facts.add_row("faulty requests", "\n".join(describe_requests(score.wire)))
    if score.nodes > 1:
        facts.add_row(
            "probes", f"{score.probe_commits:,} committed; {quantity(score.probe_hangs, 'hung call')}"
        )
    for crash in score.crashes:
        facts.add_row("worker crash", _escaped(crash))
    for number, hang in enumerate(score.hangs):
        title = "" if number else f"restarts after a hang: {len(score.hangs)}"
        facts.add_row(title, _escaped(f"{hang.worker}: {hang.what} at {hang.where}"))
    for torn in score.torn_by_kafka:
        facts.add_row("torn by Kafka", _escaped(torn))
    if score.input_duplicates:
        facts.add_row(
            "input", f"{quantity(score.input_duplicates, 'record')} sent twice by the campaign itself"
        )
    if score.restored:
        facts.add_row(
            "records restored",
            f"at most {score.restored_max(same=True)} by the last owner of the partition "
            f"({quantity(score.restores(same=True), 'restore')}; a transaction has up to "
            f"{score.transaction_records_max}), at most {score.restored_max(same=False):,} by another worker "
            f"({quantity(score.restores(same=False), 'restore')})",
        )
    if score.exits:
        facts.add_row(
            "workers exited",
            ", ".join(f"{n} with status {status}" for status, n in sorted(score.exits.items())),
        )
    if score.accident is not None and score.seconds:  # judged
        _add_accident(facts, score.accident, score)
    return facts


def _add_accident(facts: Table, report: "AccidentReport", score: "Score") -> None:
    facts.add_row("accident", report.change.what)
    if report.refusals:
        first = report.refusals[0]
        facts.add_row(
            "refused by", f"{quantity(len(report.refusals), 'worker')} within {report.refused_s:.0f} s"
        )
        facts.add_row("refusal", _escaped(first.error))
        facts.add_row("fix", _escaped(first.fix))
        facts.add_row("`offsets show`", f"refuses {quantity(report.shown, 'partition')}")
    for command in report.commands:
        facts.add_row("continued with", command)
    if report.is_final:
        facts.add_row(
            "afterwards",
            f"refused again in {report.refused_again} of 2 starts (with and without state folders); "
            f"{report.records_after} records or offsets changed",
        )
    else:
        lost = f"lost {score.lost}, duplicated {score.duplicated}, skipped {report.skipped}"
        facts.add_row("audit", f"{lost} (the accident deleted their outcomes)" if report.skipped else lost)
    facts.add_row("outcome", report.outcome(is_exact=score.holds))


def _verdict(score: "Score") -> str:
    figures = (
        f"lost {score.lost}, duplicated {score.duplicated}, torn {score.torn}, "
        f"mismatched {score.mismatched}, out of order {score.disordered}, aborted seen {score.aborted_seen} "
        f"(of {score.records_aborted:,} aborted), unseen {score.unseen}"
        f"{f', skipped {score.accident.skipped}' if score.accident else ''}"
    )
    sentences = "".join(f"\n[red]![/red] {_escaped(sentence)}" for sentence in score.differences)
    missed = f" ({score.missed.total()} more had no effect)" if score.missed else ""
    words = f"{score.words:,} words, {quantity(score.faults.total(), 'fault')}{missed}, {score.seconds:.0f} s"
    report = score.accident
    if score.holds and report is not None and report.is_final:
        return f"[bold green]refused for good[/bold green]: {words}; the outputs were not audited"
    if report is not None and report.outcome(is_exact=score.holds) is Outcome.SILENT:
        return f"[bold red]accident not detected[/bold red]: {words}; {figures}{sentences}"
    if score.holds:
        return f"[bold green]exactly once[/bold green]: {words}; {figures}"
    return f"[bold red]broken[/bold red]: {words}; {figures}{sentences}"


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
