"""`lag`: the lag of the consumer group, by partition."""

import time
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from rich.live import Live
from rich.table import Table

from stream.cli.app import err, out, quantity, say, settings, watch_cluster
from stream.cli.listing import Column, Format, JsonLinesOption, Rows, quiet_pipe, write_line
from stream.config import Settings
from stream.errors import Retriable
from stream.tools.kafka.group import Group, PartitionLag
from stream.tools.kafka.group_reader import GroupReader
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
UNKNOWN_SAID_S = 8.0


def lag(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Refresh until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between refreshes with --follow.")] = 2.0,
    output_format: JsonLinesOption = Format.TABLE,
) -> None:
    """Show the committed offset of the group, the end of the log and the lag, by partition.

    The log end offset is the last stable offset: a consumer of committed records can read up to it. The lag
    is in offsets. It is 0 if all records are processed, even if transaction markers or aborted records
    follow. The age is that of the oldest unprocessed record.
    """
    chosen = settings()
    group_reader = GroupReader(chosen)
    with quiet_pipe():
        if not follow:
            _print(chosen, *retry_while_unreachable(chosen, group_reader.read), output_format)
        elif output_format is Format.TABLE and out.is_terminal:
            _live(chosen, group_reader, interval)
        else:
            _follow(chosen, group_reader, interval, output_format)


def _follow(chosen: Settings, group_reader: GroupReader, interval: float, output_format: Format) -> None:
    """Print the lag repeatedly; wait while the broker is unavailable."""
    watch = watch_cluster(chosen, chosen.input_topic)
    failing_since = None
    while True:
        watch.check()
        try:
            with watch.explained():
                group, lags = group_reader.read()
        except Retriable as why:
            failing_since = failing_since or time.monotonic()
            if time.monotonic() - failing_since >= UNKNOWN_SAID_S and not watch.is_waiting:
                say(f"the lag is currently unknown: {why}")  # only the coordinator is unavailable
                failing_since = None
        else:
            failing_since = None
            _print(chosen, group, lags, output_format, stamped=True)
        time.sleep(interval)


def _print(
    chosen: Settings, group: Group, lags: list[PartitionLag], output_format: Format, *, stamped: bool = False
) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if output_format is Format.JSON:
        for lag in lags:
            write_line(orjson.dumps(_object(chosen, lag) | ({"at": now} if stamped else {})))
        return
    err.print(_headline(chosen, group, lags))
    rows = Rows(_COLUMNS)
    for lag in lags:
        rows.add(*_cells(lag))
    rows.flush()


def _live(chosen: Settings, group_reader: GroupReader, interval: float) -> None:
    """Redraw one table; report an unavailable broker in its place."""
    watch = watch_cluster(chosen, chosen.input_topic, say=lambda _: None)
    with Live(console=out, refresh_per_second=4) as live:
        while True:
            watch.check()
            try:
                with watch.explained():
                    group, lags = group_reader.read()
            except Retriable as why:
                live.update(f"[yellow]waiting for Kafka:[/yellow] {why}")
            else:
                table = Table(*_HEADS, title=_headline(chosen, group, lags), box=None, title_justify="left")
                for lag in lags:
                    table.add_row(*_cells(lag), style="yellow" if lag.lag else "")
                live.update(table)
            time.sleep(interval)


def _headline(chosen: Settings, group: Group, lags: list[PartitionLag]) -> str:
    total = sum(lag.lag for lag in lags)
    members = quantity(len(group.members), "member")
    state = "no such group yet" if group.state == "dead" else f"{group.state}, {members}"
    return f"group {chosen.group_id} on {chosen.input_topic}: {state}, lag {total:,}"


def _cells(lag: PartitionLag) -> tuple[str, ...]:
    member = lag.member
    return (
        str(lag.partition),
        "-" if lag.committed is None else str(lag.committed),
        str(lag.stable),
        str(lag.lag),
        "-" if lag.age_s is None else _duration(lag.age_s),
        member.id if member else "-",
        member.host if member else "-",
        member.client_id if member else "-",
    )


def _object(chosen: Settings, lag: PartitionLag) -> dict[str, object]:
    member = lag.member
    return {
        "group": chosen.group_id,
        "topic": chosen.input_topic,
        "partition": lag.partition,
        "current_offset": lag.committed,
        "log_end_offset": lag.stable,
        "high_watermark": lag.end,
        "lag": lag.lag,
        "age_seconds": None if lag.age_s is None else round(lag.age_s, 1),
        "member": member.id if member else None,
        "host": member.host if member else None,
        "client_id": member.client_id if member else None,
    }


def _duration(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"
