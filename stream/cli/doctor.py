"""`doctor`: every precondition of a worker in one report."""

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import orjson
import typer
from rich.markup import escape

from stream.cli.app import err, out, settings
from stream.cli.listing import Format, quiet_pipe, write_line
from stream.tools.doctor import cluster, machine
from stream.tools.doctor.findings import Finding, Level

_MARKS = {
    Level.OK: "[green]✓[/green]",
    Level.WARNING: "[yellow]![/yellow]",
    Level.FAILED: "[bold red]✗[/bold red]",
    Level.SKIPPED: "[dim]-[/dim]",
}


def doctor(
    shape: Annotated[Format, typer.Option("--format", help="`json` is one object.")] = Format.TABLE,
) -> None:
    """Check all that a worker of these settings needs, and say for each that fails what fixes it.

    Nothing is changed and no record produced; brokers remember the transactional id `<group>-doctor` for a
    while. Exit status: 0, warnings or not; 1 where something failed.
    """
    chosen = settings()
    found: list[Finding] = []
    with quiet_pipe():
        for finding in (each for part in (machine, cluster) for each in part.examine(chosen)):
            found.append(finding)
            if shape is Format.TABLE:
                _show(finding)
        number = Counter(finding.level for finding in found)
        healthy = not number[Level.FAILED]
        if shape is Format.JSON:
            report = {
                "ok": healthy,
                "failed": number[Level.FAILED],
                "warnings": number[Level.WARNING],
                "findings": [asdict(finding) for finding in found],
            }
            write_line(orjson.dumps(report))
        else:
            err.print(
                f"{len(found)} checks: {number[Level.FAILED]} failed, {number[Level.WARNING]} warnings, "
                f"{number[Level.SKIPPED]} not made"
            )
    raise typer.Exit(0 if healthy else 1)


def _show(finding: Finding) -> None:
    out.print(f"{_MARKS[finding.level]} {escape(finding.check)}: {escape(finding.found)}")
    if finding.hint:
        out.print(f"    [bold]fix:[/bold] {escape(finding.hint)}")
