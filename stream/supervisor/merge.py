"""Merges metrics and probe answers of several processes into one. Pure: texts and bodies are arguments."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from stream.telemetry.health import NO_PARTITION

LABEL = "process"
ENDED = "ended for good: the log event `process ended` shows why; to start it again, restart the worker"


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    ok: bool
    body: Mapping[str, Any]


ProbeAnswers = Mapping[str, ProbeAnswer | None]  # by process; None: the process does not respond
HAS_ENDED = ProbeAnswer(ok=False, body={"ended": True, "reasons": [ENDED]})  # for good


def merge_expositions(expositions: Mapping[str, str]) -> Iterable[Metric]:
    """Return the metric families of OpenMetrics texts, each family once, with samples labelled by process."""
    families: dict[str, Metric] = {}
    for process, exposition in expositions.items():
        for family in _parse(exposition):
            merged = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type, family.unit)
            )
            merged.samples += [
                sample._replace(labels={**sample.labels, LABEL: process}) for sample in family.samples
            ]
    return families.values()


def all_started(answers: ProbeAnswers) -> ProbeAnswer:
    """Return the answer of `/healthz/started`: ok if every process that did not end for good has started."""
    return _all("started", answers, lambda answer: _is_ok(answer) or answer is HAS_ENDED)


def all_ready(answers: ProbeAnswers) -> ProbeAnswer:
    """Return the answer of `/healthz/ready`: ok if every process is ready.

    A spare process, which has no partition, is ignored if another process is ready. If a process ended for
    good, the answer stays negative: the others count its partitions, but with less capacity.
    """
    any_ready = any(map(_is_ok, answers.values()))
    return _all("ready", answers, lambda answer: _is_ok(answer) or (any_ready and _is_spare(answer)))


def all_live(answers: ProbeAnswers) -> ProbeAnswer:
    """Return the answer of `/healthz/live`: ok if every loop advances.

    A process that ended for good has no loop, and is no reason to restart the others.
    """
    return _all("live", answers, lambda answer: _is_ok(answer) or answer is HAS_ENDED)


def _all(name: str, answers: ProbeAnswers, passes: Callable[[ProbeAnswer | None], bool]) -> ProbeAnswer:
    ok = bool(answers) and all(map(passes, answers.values()))
    bodies: dict[str, Mapping[str, Any]] = {
        process: {name: False, "reasons": ["does not respond"]} if answer is None else answer.body
        for process, answer in answers.items()
    }
    reasons = [] if answers else ["starting"]
    reasons += [
        f"process {process}: {reason}"
        for process, body in bodies.items()
        if not passes(answers[process])
        for reason in _reasons(body)
    ]
    return ProbeAnswer(ok, {name: ok, "reasons": reasons, "processes": bodies})


def _parse(exposition: str) -> Iterable[Metric]:
    return cast("Iterable[Metric]", text_string_to_metric_families(exposition))  # type: ignore[no-untyped-call]


def _reasons(body: Mapping[str, Any]) -> list[str]:
    """Return why a probe of a worker failed: its body has `reasons`, or one `reason`."""
    return list(body.get("reasons", [body["reason"]] if "reason" in body else []))


def _is_ok(answer: ProbeAnswer | None) -> bool:
    return answer is not None and answer.ok


def _is_spare(answer: ProbeAnswer | None) -> bool:
    return answer is not None and answer.body.get("reasons") == [NO_PARTITION]
