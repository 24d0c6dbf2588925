"""What several processes export and answer, made into one. Pure: the texts and bodies are given."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

LABEL = "process"
NO_PARTITION = "no partition assigned"  # of a worker's reasons: a spare one has no other


@dataclass(frozen=True, slots=True)
class Probed:
    """A process answered a probe."""

    ok: bool
    body: Mapping[str, Any]


Answers = Mapping[str, Probed | None]  # by process; None where it does not answer


def merged(expositions: Mapping[str, str]) -> Iterable[Metric]:
    """Return the families of OpenMetrics expositions, each once, their samples labelled by process."""
    families: dict[str, Metric] = {}
    for process, exposition in expositions.items():
        for family in _families(exposition):
            known = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type, family.unit)
            )
            known.samples += [
                sample._replace(labels={**sample.labels, LABEL: process}) for sample in family.samples
            ]
    return families.values()


def all_started(answers: Answers) -> Probed:
    """Return the answer of `/healthz/started`: yes when all say so."""
    return _all("started", answers, _is_ok)


def all_ready(answers: Answers) -> Probed:
    """Return the answer of `/healthz/ready`: yes when all say so, but for spares beside one that does."""
    some = any(map(_is_ok, answers.values()))
    return _all("ready", answers, lambda answer: _is_ok(answer) or (some and _is_spare(answer)))


def all_live(answers: Answers) -> Probed:
    """Return the answer of `/healthz/live`: yes when every loop advances."""
    return _all("live", answers, _is_ok)


def _all(name: str, answers: Answers, holds: Callable[[Probed | None], bool]) -> Probed:
    ok = bool(answers) and all(map(holds, answers.values()))
    bodies: dict[str, Mapping[str, Any]] = {
        process: {name: False, "reasons": ["does not answer"]} if answer is None else answer.body
        for process, answer in answers.items()
    }
    reasons = [] if answers else ["starting"]
    reasons += [
        f"process {process}: {reason}"
        for process, body in bodies.items()
        if not holds(answers[process])
        for reason in _reasons(body)
    ]
    return Probed(ok, {name: ok, "reasons": reasons, "processes": bodies})


def _families(exposition: str) -> Iterable[Metric]:
    return cast("Iterable[Metric]", text_string_to_metric_families(exposition))  # type: ignore[no-untyped-call]


def _reasons(body: Mapping[str, Any]) -> list[str]:
    """Return why not, as it stands in a worker's body: `reasons`, or one `reason`."""
    return list(body.get("reasons", [body["reason"]] if "reason" in body else []))


def _is_ok(answer: Probed | None) -> bool:
    return answer is not None and answer.ok


def _is_spare(answer: Probed | None) -> bool:
    return answer is not None and answer.body.get("reasons") == [NO_PARTITION]
