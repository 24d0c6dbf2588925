"""`topics create` and `topics check`."""

from typing import Annotated

import typer

from stream.cli.app import admin_client, examples, out, settings
from stream.cli.listing import Column, Rows
from stream.kafka import topics as kafka_topics
from stream.kafka.access import check_access, worker_needs
from stream.worker.startup import retry_while_unreachable

app = typer.Typer(no_args_is_help=True, help="Create and check the four topics.", rich_markup_mode="rich")


@app.command(
    epilog=examples(
        "anagram-stream topics create", "anagram-stream topics create --partitions 12 --replication 3"
    )
)
def create(
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Of the input; by default what it has, or 4.")
    ] = None,
    replication: Annotated[
        int | None, typer.Option(min=1, help="Replicas of new topics; the broker's default.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Also set wrong topic configurations right.")
    ] = False,
) -> None:
    """Make what is missing, and grow result and count topic with the input. Safe to run again."""
    chosen = settings()
    admin = admin_client(chosen)
    done = retry_while_unreachable(
        chosen, lambda: kafka_topics.create(admin, chosen, partitions, replication, repair=repair)
    )
    for line in done or ["nothing to do"]:
        out.print(line)


@app.command(epilog=examples("anagram-stream topics check && anagram-stream worker"))
def check() -> None:
    """Say whether a worker of these settings, user and rights may start on the topics; exit 1 if not."""
    chosen = settings()
    admin = admin_client(chosen)
    found = retry_while_unreachable(chosen, lambda: kafka_topics.check(admin, chosen))
    check_access(found, chosen)
    table = Rows(
        (
            Column("topic", flexible=True),
            Column("partitions", right=True),
            Column("cleanup.policy"),
            Column("max.message.bytes", right=True),
            Column("id", optional=1),
        )
    )
    for topic in (found.input, found.result, found.count, found.dead_letter):
        policy, bytes_max = (topic.configs.get(name, "?") for name in ("cleanup.policy", "max.message.bytes"))
        table.add(topic.name, str(topic.partitions), policy, bytes_max, topic.id)
    table.flush()
    for warning in found.warnings:
        out.print(f"[yellow]warning:[/yellow] {warning}")
    out.print("[green]ok[/green]")


@app.command(epilog=examples("anagram-stream topics acls --principal User:anagrams > grant.sh"))
def acls(
    principal: Annotated[str, typer.Option(help="Who the worker is to the broker.")] = "User:worker",
) -> None:
    """Print the commands that grant a worker what it needs, and no more, on a cluster with ACLs."""
    chosen = settings()
    for need in worker_needs(chosen):
        out.print(need.command(chosen.bootstrap_servers, principal), markup=False)
