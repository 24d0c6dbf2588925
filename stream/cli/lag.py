"""`lag`: how far the group is behind, by partition."""

import time
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from rich.live import Live
from rich.table import Table

from stream.cli.app import err, out, reachable_admin, settings
from stream.cli.listing import Column, Format, Rows, quiet_pipe, write_line
from stream.config import Settings
from stream.errors import Retriable
from stream.kafka.clients import Admin, reader_options
from stream.tools.kafka.group import Group, PartitionLag, behind
from stream.worker.startup import retry_while_unreachable

_HEADS = (
    "partition", "current offset", "log end offset", "lag", "age", "member", "host", "client id",
)  # fmt: skip
_COLUMNS = (
    *(Column(name, least=len(name), right=True) for name in _HEADS[:5]),
    Column("member", least=12, flexible=True, optional=2),
    Column("host", least=9, optional=3),
    Column("client id", least=9, flexible=True, optional=1),
)
_MINUTE_S, _HOUR_S = 60, 3600


def lag(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Look again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    shape: Annotated[Format, typer.Option("--format", help="`json` is an object per line.")] = Format.TABLE,
) -> None:
    """Show, by partition, where the group is, where the log ends, and what lies between.

    The log's end is its last stable offset: what a consumer of committed records may read now. The lag is in
    offsets and exactly 0 when no record is left to do, however many offsets markers and aborted records take.
    The age is that of the oldest record left.
    """
    chosen = settings()
    admin = reachable_admin(chosen, chosen.input_topic)
    with quiet_pipe():
        if not follow:
            _show(chosen, *retry_while_unreachable(chosen, lambda: _look(chosen, admin)), shape)
        elif shape is Format.TABLE and out.is_terminal:
            _live(chosen, admin, interval)
        else:
            while True:
                _show(
                    chosen,
                    *retry_while_unreachable(chosen, lambda: _look(chosen, admin)),
                    shape,
                    stamped=True,
                )
                time.sleep(interval)


def _look(chosen: Settings, admin: Admin) -> tuple[Group, list[PartitionLag]]:
    return behind(admin, reader_options(chosen), chosen.group_id, chosen.input_topic)


def _show(
    chosen: Settings, group: Group, found: list[PartitionLag], shape: Format, *, stamped: bool = False
) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    if shape is Format.JSON:
        for each in found:
            write_line(orjson.dumps(_object(chosen, each) | ({"at": at} if stamped else {})))
        return
    err.print(_headline(chosen, group, found))
    rows = Rows(_COLUMNS)
    for each in found:
        rows.add(*_cells(each))
    rows.flush()


def _live(chosen: Settings, admin: Admin, interval: float) -> None:
    """Redraw one table; a broker that is away for a while is said below it."""
    with Live(console=out, refresh_per_second=4) as live:
        while True:
            try:
                group, found = _look(chosen, admin)
            except Retriable as why:
                live.update(f"[yellow]waiting for Kafka:[/yellow] {why}")
            else:
                table = Table(*_HEADS, title=_headline(chosen, group, found), box=None, title_justify="left")
                for each in found:
                    table.add_row(*_cells(each), style="yellow" if each.lag else "")
                live.update(table)
            time.sleep(interval)


def _headline(chosen: Settings, group: Group, found: list[PartitionLag]) -> str:
    total = sum(each.lag for each in found)
    state = "no such group yet" if group.state == "dead" else f"{group.state}, {len(group.members)} members"
    return f"group {chosen.group_id} on {chosen.input_topic}: {state}, lag {total:,}"


def _cells(each: PartitionLag) -> tuple[str, ...]:
    member = each.member
    return (
        str(each.partition),
        "-" if each.committed is None else str(each.committed),
        str(each.stable),
        str(each.lag),
        "-" if each.age_s is None else _span(each.age_s),
        member.id if member else "-",
        member.host if member else "-",
        member.client_id if member else "-",
    )


def _object(chosen: Settings, each: PartitionLag) -> dict[str, object]:
    member = each.member
    return {
        "group": chosen.group_id,
        "topic": chosen.input_topic,
        "partition": each.partition,
        "current_offset": each.committed,
        "log_end_offset": each.stable,
        "high_watermark": each.end,
        "lag": each.lag,
        "age_seconds": None if each.age_s is None else round(each.age_s, 1),
        "member": member.id if member else None,
        "host": member.host if member else None,
        "client_id": member.client_id if member else None,
    }


def _span(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"
