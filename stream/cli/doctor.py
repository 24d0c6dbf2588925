"""`doctor`: checks every precondition of a worker."""

from collections import Counter

import orjson
import typer
from rich.markup import escape

from stream.cli.app import err, out, quantity, settings, watch_cluster
from stream.cli.listing import Format, JsonOption, quiet_pipe, write_line
from stream.tools.doctor import cluster, machine
from stream.tools.doctor.findings import Finding, Level

_MARKS = {
    Level.OK: "[green]✓[/green]",
    Level.WARNING: "[yellow]![/yellow]",
    Level.FAILED: "[bold red]✗[/bold red]",
    Level.SKIPPED: "[dim]-[/dim]",
}


def doctor(
    output_format: JsonOption = Format.TABLE,
) -> None:
    """Check everything that a worker with these settings needs, and show how to fix each failure.

    The checks change nothing and produce no records. Only the transactional id `<group>-doctor` stays
    registered with the brokers for a while. Exit status 1 if a check failed, 0 otherwise, even with warnings.
    """
    chosen = settings()
    watch_cluster(chosen)
    findings: list[Finding] = []
    with quiet_pipe():
        for finding in (each for part in (machine, cluster) for each in part.examine(chosen)):
            findings.append(finding)
            if output_format is Format.TABLE:
                _print(finding)
        number = Counter(finding.level for finding in findings)
        healthy = not number[Level.FAILED]
        if output_format is Format.JSON:
            report = {
                "ok": healthy,
                "failed": number[Level.FAILED],
                "warnings": number[Level.WARNING],
                "findings": [finding.as_json() for finding in findings],
            }
            write_line(orjson.dumps(report))
        else:
            err.print(
                f"{quantity(len(findings), 'check')}: {number[Level.FAILED]} failed, "
                f"{quantity(number[Level.WARNING], 'warning')}, {number[Level.SKIPPED]} skipped"
            )
    raise typer.Exit(0 if healthy else 1)


def _print(finding: Finding) -> None:
    out.print(f"{_MARKS[finding.level]} {escape(finding.check)}: {escape(finding.detail)}")
    if finding.hint:
        out.print(f"    [bold]fix:[/bold] {escape(finding.hint)}")
