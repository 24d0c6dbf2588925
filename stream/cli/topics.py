"""`topics create`, `topics check` and `topics acls`."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from stream.cli.app import admin_client, err, examples, out, report_error, settings, watch_cluster
from stream.cli.listing import Column, Rows
from stream.config import Settings
from stream.errors import Fatal
from stream.kafka import topics as kafka_topics
from stream.kafka.access import RequiredAcl, check_access, replay_acls, serve_acls, worker_acls
from stream.tools.kafka.acls import grant as grant_acls
from stream.tools.kafka.topic_creation import create_topics
from stream.tools.offsets.facts import read_refusals
from stream.worker.startup import retry_while_unreachable


class AclRole(StrEnum):
    """Which client the ACLs are for."""

    WORKER = "worker"
    REPLAY = "replay"
    SERVE = "serve"


_ACLS: Mapping[AclRole, Callable[[Settings], list[RequiredAcl]]] = {
    AclRole.WORKER: worker_acls,
    AclRole.REPLAY: replay_acls,
    AclRole.SERVE: serve_acls,
}
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
            min=1, help="Partitions of the input topic; by default unchanged, or 4 for a new topic."
        ),
    ] = None,
    replication: Annotated[
        int | None, typer.Option(min=1, help="Replication factor of new topics; by default the broker's.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Also fix wrong topic configurations.")] = False,
) -> None:
    """Create missing topics, and add partitions to the result and count topics. Safe to run again."""
    chosen = settings()
    watch_cluster(chosen)
    admin = admin_client(chosen)
    changes = retry_while_unreachable(
        chosen, lambda: create_topics(admin, chosen, partitions, replication, repair=repair)
    )
    for line in changes or ["nothing to do"]:
        out.print(line)
    try:
        checked = retry_while_unreachable(chosen, lambda: kafka_topics.check(admin, chosen))
        refused = retry_while_unreachable(chosen, lambda: read_refusals(chosen, admin, checked))
    except Fatal as why:
        warnings = [f"{why} ({hint})" if (hint := getattr(why, "hint", "")) else str(why)]
    else:
        warnings = [*checked.warnings, *(f"a worker refuses {each} ({each.hint})" for each in refused)]
    _warn(warnings)


@app.command(epilog=examples("anagram-stream topics check && anagram-stream worker"))
def check() -> None:
    """Check whether a worker with these settings and permissions can start; exit status 1 if not."""
    chosen = settings()
    watch_cluster(chosen)
    admin = admin_client(chosen)
    checked = retry_while_unreachable(chosen, lambda: kafka_topics.check(admin, chosen))
    check_access(checked, chosen)
    table = Rows(
        (
            Column("topic", least=20, flexible=True),
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
    for sentence in checked.left_out:
        out.print(f"note: {escape(sentence)}")
    _warn(checked.warnings)
    refused = retry_while_unreachable(chosen, lambda: read_refusals(chosen, admin, checked))
    for refusal in refused:
        report_error(refusal)
    if refused:
        raise typer.Exit(1)
    out.print("[green]ok[/green]")


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}")


@app.command(
    epilog=examples(
        "anagram-stream topics acls",
        "STREAM_KAFKA_CONFIG=admin.properties anagram-stream topics acls --principal User:anagrams --grant",
    )
)
def acls(
    role: Annotated[
        AclRole,
        typer.Option("--for", help="Client: a worker, `dead-letters replay` and `import`, or `serve`."),
    ] = AclRole.WORKER,
    principal: Annotated[str, typer.Option(help="Principal that --grant gives the ACLs to.")] = "User:worker",
    grant: Annotated[
        bool, typer.Option("--grant", help="Create the ACLs; needs the settings of an administrator.")
    ] = False,
) -> None:
    """Show exactly the ACLs that a worker, a replay or `serve` needs; with --grant, create them."""
    chosen = settings()
    watch_cluster(chosen)
    needs = _ACLS[role](chosen)
    table = Rows(
        (
            Column("resource"),
            Column("name", flexible=True),
            Column("pattern", optional=1),
            Column("operations"),
        )
    )
    for need in needs:
        pattern = "prefixed" if need.prefixed else "literal"
        table.add(need.resource, need.name, pattern, ", ".join(need.operations))
    table.flush()
    if grant:
        admin = admin_client(chosen)
        retry_while_unreachable(chosen, lambda: grant_acls(admin, needs, principal))
        err.print(f"granted the ACLs to {escape(principal)}")
