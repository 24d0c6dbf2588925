"""`chaos`: faults on a real Kafka, and the scorecard."""

import secrets
import shutil
import signal
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from stream.cli.app import err, out
from stream.cli.listing import Format
from stream.cli.shown import Shown
from stream.config import load_settings

if TYPE_CHECKING:
    from stream.tools.chaos.campaign import Campaign, Order
    from stream.tools.chaos.score import Score

SEEDS = 1_000_000
PER_BLOB, BATCH = 50, 10_000
PLAN_HELP = (
    "`drawn` from the seed over all classes; or `kafka`: those of Kafka's own transactions test, with its "
    "100,000 records, 750 a transaction, each worker bounced three times, the broker killed."
)
PROCESSES_HELP = "Of each worker; with several, one of them is killed now and then, or their supervisor."
STATIC_HELP = "Static members; under `classic` the default."
KAFKA_BLOBS, KAFKA_WORDS, KAFKA_BATCH = 100_000, 5, 750


class Plan(StrEnum):
    """Where the faults come from."""

    DRAWN = "drawn"
    KAFKA = "kafka"


class GroupProtocol(StrEnum):
    """Kafka's group protocols."""

    CONSUMER = "consumer"
    CLASSIC = "classic"


def chaos(  # noqa: PLR0913 - a command's options
    *,
    plan: Annotated[Plan, typer.Option(help=PLAN_HELP)] = Plan.DRAWN,
    words: Annotated[int, typer.Option(min=1_000, help="Words of the whole input.")] = 1_000_000,
    faults: Annotated[int, typer.Option(min=0, help="How many faults, over all classes.")] = 26,
    duration: Annotated[float, typer.Option(min=0, help="Seconds that the faults take at least.")] = 0.0,
    protocol: Annotated[GroupProtocol, typer.Option(help="The group protocol.")] = GroupProtocol.CONSUMER,
    static: Annotated[bool | None, typer.Option("--static/--dynamic", help=STATIC_HELP)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws faults, texts and pace.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=16)] = 3,
    processes: Annotated[int, typer.Option(min=1, max=16, help=PROCESSES_HELP)] = 1,
    partitions: Annotated[int, typer.Option(min=1, max=64)] = 6,
    output: Annotated[Format, typer.Option("--format", help="What is printed at the end.")] = Format.TABLE,
) -> None:
    """Break everything on a real Kafka while records flow, then show that nothing was lost or counted twice.

    Starts Apache Kafka and workers of its own; kills, stops, replaces and cuts them off; a reader runs
    throughout. Then a second reader and `verify` judge. Exit status 1 when a promise was broken.
    """
    from stream.tools.chaos.campaign import Campaign, Order  # noqa: PLC0415 - slow to load, and workers do without
    from stream.tools.chaos.load import Size  # noqa: PLC0415
    from stream.tools.chaos.plan import bounces, draw  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped
    is_static = protocol is GroupProtocol.CLASSIC if static is None else static
    drawn_from = secrets.randbelow(SEEDS) if seed is None else seed
    if plan is Plan.DRAWN:
        size = Size(max(1, words // PER_BLOB), PER_BLOB)
        planned = draw(drawn_from, faults, protocol.value, processes)
        batch_records_max = BATCH
    else:
        size, planned, batch_records_max = Size(KAFKA_BLOBS, KAFKA_WORDS), bounces(workers), KAFKA_BATCH
    java = load_settings(group_protocol=protocol.value, static_membership=is_static).java
    order = Order(
        drawn_from,
        protocol.value,
        is_static,
        size,
        planned,
        duration,
        workers,
        processes,
        partitions,
        batch_records_max,
        java,
    )
    _judge(order, Campaign, output)


def _judge(order: "Order", campaign: "type[Campaign]", output: Format) -> None:
    """Run it, show the score, and fail if a promise was broken."""
    folder = Path(tempfile.mkdtemp(prefix="anagram-stream-chaos-"))
    with _Board() as board:
        score = campaign(order, folder, board.show).run()
    if score.holds:
        shutil.rmtree(folder, ignore_errors=True)
    if output is Format.JSON:
        out.print_json(orjson.dumps(score.as_json()).decode(), indent=None)
    else:
        out.print(_drawn(score))
        out.print(_verdict(score))
    if not score.holds:
        err.print(f"what the workers kept lies in {folder}", markup=False)
        raise typer.Exit(1)


class _Board(Shown):
    """The score as it grows: redrawn on a terminal, silent in a pipe."""

    def __init__(self) -> None:
        self._score: Score | None = None
        self._live = Live(get_renderable=self._draw, console=err, refresh_per_second=4)
        super().__init__(self._live, on=err.is_terminal)

    def _draw(self) -> RenderableType:
        return "" if self._score is None else _drawn(self._score)

    def show(self, score: "Score") -> None:
        """Take the score so far."""
        self._score = score


def _drawn(score: "Score") -> RenderableType:
    faults = Table(box=None, padding=(0, 2))
    faults.add_column("fault", style="cyan")
    faults.add_column("times", justify="right")
    faults.add_column("worst stall, s", justify="right")
    for kind, times in sorted(score.faults.items()):
        stalls = score.stalls_s.get(kind)
        faults.add_row(kind, str(times), f"{max(stalls):.1f}" if stalls else "")
    membership = "static" if score.static else "dynamic"
    head = (
        f"[bold]seed {score.seed}, {score.protocol} protocol, {membership} members[/bold]: {score.phase}\n"
        f"{score.sent:,} of {score.blobs:,} blobs sent, {score.outcomes:,} outcomes seen, "
        f"{score.unseen:,} unseen"
    )
    return Group(head, faults, _facts(score))


def _facts(score: "Score") -> RenderableType:
    facts = Table(box=None, padding=(0, 2), show_header=False)
    facts.add_column(style="cyan")
    facts.add_column()
    aborted = ", ".join(f"{n} {outcome}" for outcome, n in sorted(score.aborts.items())) or "none"
    facts.add_row("transactions", f"{score.commits:,} committed (at least); {aborted}")
    if score.wire:
        facts.add_row("requests met", ", ".join(f"{n} {what}" for what, n in sorted(score.wire.items())))
    if score.restored:
        facts.add_row(
            "records restored",
            f"{score.restored_max(same=True)} at most where the partition came back "
            f"({score.restores(same=True)} times; a transaction has {score.transaction_records_max}), "
            f"{score.restored_max(same=False):,} where it moved ({score.restores(same=False)} times)",
        )
    if score.exits:
        facts.add_row(
            "workers ended",
            ", ".join(f"{n} with status {status}" for status, n in sorted(score.exits.items())),
        )
    return facts


def _verdict(score: "Score") -> str:
    figures = (
        f"lost {score.lost}, duplicated {score.duplicated}, torn {score.torn}, "
        f"mismatched {score.mismatched}, out of order {score.disordered}, aborted seen {score.aborted_seen} "
        f"(of {score.records_aborted:,} aborted), unseen {score.unseen}"
    )
    sentences = "".join(f"\n[red]![/red] {_plain(sentence)}" for sentence in score.differences)
    missed = f" ({score.missed.total()} more met nobody)" if score.missed else ""
    words = f"{score.words:,} words, {score.faults.total()} faults{missed}, {score.seconds:.0f} s"
    if score.holds:
        return f"[bold green]exactly once[/bold green]: {words}; {figures}"
    return f"[bold red]broken[/bold red]: {words}; {figures}{sentences}"


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
