"""`topics create`, `topics check` and `topics acls`."""

from typing import Annotated

import typer

from stream.cli.app import admin_client, examples, out, settings
from stream.cli.listing import Column, Rows
from stream.kafka import topics as kafka_topics
from stream.kafka.access import check_access, worker_acls
from stream.tools.kafka.topic_creation import create_topics
from stream.worker.startup import retry_while_unreachable

app = typer.Typer(no_args_is_help=True, help="Create and check the four topics.", rich_markup_mode="rich")


@app.command(
    epilog=examples(
        "anagram-stream topics create", "anagram-stream topics create --partitions 12 --replication 3"
    )
)
def create(
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1, help="Partitions of the input topic; by default its current number, or 4 if it is new."
        ),
    ] = None,
    replication: Annotated[
        int | None, typer.Option(min=1, help="Replicas of new topics; by default that of the broker.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Also correct wrong topic configurations.")
    ] = False,
) -> None:
    """Create missing topics, and add partitions to the result and count topics. Safe to run again."""
    chosen = settings()
    admin = admin_client(chosen)
    changes = retry_while_unreachable(
        chosen, lambda: create_topics(admin, chosen, partitions, replication, repair=repair)
    )
    for line in changes or ["nothing to do"]:
        out.print(line)


@app.command(epilog=examples("anagram-stream topics check && anagram-stream worker"))
def check() -> None:
    """Check whether a worker with these settings and permissions can start; exit status 1 if not."""
    chosen = settings()
    admin = admin_client(chosen)
    checked = retry_while_unreachable(chosen, lambda: kafka_topics.check(admin, chosen))
    check_access(checked, chosen)
    table = Rows(
        (
            Column("topic", flexible=True),
            Column("partitions", right=True),
            Column("cleanup.policy"),
            Column("max.message.bytes", right=True),
            Column("id", optional=1),
        )
    )
    for topic in (checked.input, checked.result, checked.count, checked.dead_letter):
        policy, bytes_max = (topic.configs.get(name, "?") for name in ("cleanup.policy", "max.message.bytes"))
        table.add(topic.name, str(topic.partitions), policy, bytes_max, topic.id)
    table.flush()
    for warning in checked.warnings:
        out.print(f"[yellow]warning:[/yellow] {warning}")
    out.print("[green]ok[/green]")


@app.command(epilog=examples("anagram-stream topics acls --principal User:anagrams > grant.sh"))
def acls(
    principal: Annotated[str, typer.Option(help="Principal of the worker on the broker.")] = "User:worker",
) -> None:
    """Print the commands that grant a worker exactly the ACLs that it needs."""
    chosen = settings()
    for need in worker_acls(chosen):
        out.print(need.command(chosen.bootstrap_servers, principal), markup=False)
