"""The JSON output of `bench`."""

from dataclasses import asdict
from typing import Any

from stream.tools.load_test.costs import fit_costs, round_trips
from stream.tools.load_test.figures import LatencyAtRate, Recovery, Report, Throughput
from stream.tools.load_test.output_check import OutputCheck


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as the JSON output of `bench`."""
    costs = fit_costs(report.throughput)
    return {
        "holds": report.holds,
        "conditions": report.conditions,
        "throughput": [_throughput(row) for row in report.throughput],
        "costs": None if costs is None else asdict(costs),
        "latency": [_latency(row) for row in report.latency],
        "latency_checked": None if report.latency_checked is None else _checked(report.latency_checked),
        "delays": [{"delay_ms": row.delay_ms, **_latency(row.at_rate)} for row in report.delays],
        "round_trips": round_trips(report.delays),
        "delays_checked": None if report.delays_checked is None else _checked(report.delays_checked),
        "recovery": [_recovery(row) for row in report.recovery],
        "scale": {axis: [_throughput(row) for row in rows] for axis, rows in report.scale.items()},
    }


def _checked(checked: OutputCheck) -> dict[str, Any]:
    figures = asdict(checked)
    del figures["words"]  # covers only a part; it serves to compute a rate
    return {"holds": checked.holds, **figures}


def _throughput(row: Throughput) -> dict[str, Any]:
    return {
        **asdict(row),
        "whole_words_per_s": row.whole_words_per_s,
        "whole_cpu_s_per_million_words": row.whole_cpu_s_per_million_words,
        "checked": _checked(row.checked),
    }


def _latency(row: LatencyAtRate) -> dict[str, Any]:
    return {
        **asdict(row),
        "is_saturated": row.is_saturated,
        "generator_is_late": row.generator_is_late,
    }


def _recovery(row: Recovery) -> dict[str, Any]:
    figures = asdict(row)
    times = figures.pop("times")
    return {**figures, **times, "checked": _checked(row.checked)}
