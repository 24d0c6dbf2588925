"""The page of the metrics, from the collectors that a process registers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from reference_markdown import code, document, join, marked, paragraph, section, table

from stream.supervisor.merge import LABEL
from stream.telemetry.metrics import (
    AuditMetrics,
    Metrics,
    ServeMetrics,
    add_process_metrics,
    process_metrics,
)

_SUFFIXES = {"counter": "_total", "info": "_info"}
_LABELS_SET_LATER = {"stream_worker": ("group", "worker")}  # the worker sets them when it starts
_HEAD = ("metric", "type", "labels", "meaning")
_ONE_PROCESS = {"0": True}

Row = Sequence[str]


def page() -> str:
    common = CollectorRegistry()
    add_process_metrics(common)
    shared = {row[0] for row in _rows(common)}
    return document(
        "Metrics",
        "All metrics that the processes of `anagram-stream` export for Prometheus.",
        paragraph("A histogram `NAME` has the series `NAME_bucket`, `NAME_count` and `NAME_sum`. Most "
                  "counters and histograms also have `NAME_created`, the time when they began. Labels have a "
                  "bounded set of values."),
        section(
            "Worker",
            paragraph("`/metrics` on `STREAM_HTTP_HOST` and `STREAM_HTTP_PORT`. If the port is 0, the worker "
                      "uses any free port and logs it."),
            table(_HEAD, _without(shared, _rows(Metrics().registry))),
        ),
        section(
            "Several worker processes",
            paragraph(f"One port serves all processes of `worker --processes N`. The label `{LABEL}` of each "
                      "series is the number of its process. The supervisor adds:"),
            table(_HEAD, map(_of_family, process_metrics(_ONE_PROCESS, dict.fromkeys(_ONE_PROCESS, 0)))),
        ),
        section(
            "`verify --follow`",
            paragraph("`/metrics` on `STREAM_HTTP_HOST` and `STREAM_HTTP_PORT`."),
            table(_HEAD, _rows(AuditMetrics().registry)),
        ),
        section(
            "`serve`",
            paragraph("`/metrics` on `STREAM_SERVE_HOST` and `STREAM_SERVE_PORT`; it requires the token if "
                      "`STREAM_SERVE_TOKEN` is set. A number that is not known yet has no sample."),
            table(_HEAD, _without(shared, _rows(ServeMetrics().registry))),
        ),
        section(
            "Worker processes and `serve`",
            paragraph("Metrics whose names begin with `process_` and `python_` are those of "
                      "[prometheus_client](https://prometheus.github.io/client_python/collector/); "
                      "`process_` is exported on Linux."),
            table(_HEAD, _rows(common)),
        ),
    )  # fmt: skip


def _rows(registry: CollectorRegistry) -> Iterator[Row]:
    """Yield a row for each family, also for one that has no sample yet."""
    for collector in list(registry._collector_to_names):  # noqa: SLF001 - a family does not name its labels
        for family in collector.collect():
            if isinstance(collector, MetricWrapperBase):
                yield _row(family, collector._labelnames, _values(family))  # noqa: SLF001 - the same
            else:
                yield _of_family(family)


def _of_family(family: Metric) -> Row:
    return _row(family, getattr(family, "_labelnames", ()), {})


def _row(family: Metric, labels: Sequence[str], values: Mapping[str, Iterable[str]]) -> Row:
    names = labels or _LABELS_SET_LATER.get(family.name) or _of_info(family)
    shown = "; ".join(_label(name, sorted(values.get(name, ()))) for name in names)
    name = family.name + _SUFFIXES.get(family.type, "")
    return code(name), family.type, shown, marked(family.documentation)


def _label(name: str, values: Sequence[str]) -> str:
    return f"{code(name)}: {join(list(map(code, values)))}" if values else code(name)


def _values(family: Metric) -> Mapping[str, set[str]]:
    """Return the values of labels that exist from the start, which are all of them; not those of an info."""
    values: dict[str, set[str]] = {}
    for sample in family.samples if family.type != "info" else ():
        for label, value in sample.labels.items():
            values.setdefault(label, set()).add(value)
    return values


def _of_info(family: Metric) -> Sequence[str]:
    """Return the labels of an info metric, which only its sample has."""
    return [label for sample in family.samples for label in sample.labels] if family.type == "info" else ()


def _without(names: set[str], rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if row[0] not in names)
