"""The JSON output of a comparison."""

from dataclasses import asdict
from typing import Any

from stream.exercise.benchmark.figures import METRICS, best_of
from stream.exercise.benchmark.measure import Comparison, Measured


def rows_of(comparison: Comparison) -> dict[str, list[Measured]]:
    """Return name of a case -> its measurements, in the order of the orchestrators."""
    cases: dict[str, list[Measured]] = {}
    for measured in comparison.measured:
        cases.setdefault(measured.case.name, []).append(measured)
    return cases


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return all measurements, with every run."""
    return {
        "conditions": asdict(comparison.conditions),
        "unusable": comparison.unusable,
        "cases": {
            name: {"words": rows[0].words, "orchestrators": _rows(rows, comparison)}
            for name, rows in rows_of(comparison).items()
        },
    }


def _rows(rows: list[Measured], comparison: Comparison) -> dict[str, Any]:
    best = best_of(rows, faults=comparison.has_faults)
    return {
        row.orchestrator: {
            **{metric.name: metric.value(row) for metric in METRICS},
            "best": sorted(name for name, winners in best.items() if row.orchestrator in winners),
            "problems": row.problems,
            "runs": [asdict(run) for run in row.runs],
            "stages": {stage: figures.model_dump() for stage, figures in row.stages.items()},
        }
        for row in rows
    }
