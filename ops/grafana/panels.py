"""Panels and dashboards, and their JSON. `SEL` in a query is replaced with the job and instance matchers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RUNBOOKS = "ops/runbooks"
SERVED = "/public/runbooks"  # path under which Grafana serves them, see docker-compose.yml
SELECTOR = 'job=~"$job",instance=~"$instance"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, STAT_HEIGHT, HEIGHT = 24, 4, 8
RED, GREEN, ORANGE, BLUE = "red", "green", "orange", "blue"
UNKNOWN = -1  # the value of a tile without data: a separate value, so that it has a color

Json = dict[str, Any]


@dataclass(frozen=True)
class Levels:
    """Colors of values: fine, then a warning, then bad; `low`: small values are bad.

    Attributes:
        warning, bad: the first value of that color; with `low` the first value that is better than it.
        fine: the color of the other values; blue for values that are neither good nor bad.
        unknown: the color without data.
    """

    warning: float | None = None
    bad: float | None = None
    low: bool = False
    fine: str = GREEN
    unknown: str = RED

    def steps(self) -> list[Json]:
        below, warning, bad = self.unknown, self.warning, self.bad
        if self.low:
            better = [(ORANGE, bad), (self.fine, warning)] if warning is not None else [(self.fine, bad)]
            pairs = [(below, None), (RED, 0), *better]
        else:
            worse = [(ORANGE, warning), (RED, bad)]
            pairs = [(below, None), (self.fine, 0), *(each for each in worse if each[1] is not None)]
        return [{"color": colour, "value": value} for colour, value in pairs]


NEUTRAL = Levels(fine=BLUE)
ZERO = Levels(bad=1)  # anything but 0 is bad
RARE = Levels(warning=1)


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        queries: legend -> PromQL.
        levels: colors by value.
        of: levels of single queries, by legend.
        colours: fixed colors of single queries, by legend.
        unknown: the text of a tile without data.
        texts: value -> text shown instead.
        line: draw a sparkline.
        tall: the tile is as high as a time series.
        runbook: the runbooks of its alerts, separated by spaces.
    """

    title: str
    text: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"
    width: int = 8
    levels: Levels | None = None
    of: Mapping[str, Levels] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    unknown: str = "no worker reports"
    texts: Mapping[int, str] = field(default_factory=dict)
    stack: bool = False
    line: bool = False
    tall: bool = False
    runbook: str = ""

    @property
    def height(self) -> int:
        return STAT_HEIGHT if self.kind == "stat" and not self.tall else HEIGHT


@dataclass(frozen=True)
class Row:
    """The panels that answer one question; all rows except the first are collapsed."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Annotation:
    """Events that are marked in every time series. `at_value`: the value is the time in milliseconds."""

    name: str
    colour: str
    query: str
    title: str
    at_value: bool = False


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    annotations: Sequence[Annotation]
    tags: Sequence[str] = field(default=("anagram-stream",))


def rate(metric: str, by: str = "", more: str = "") -> str:
    inner = f"rate({metric}{{SEL{more}}}[$__rate_interval])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def last_hour(metric: str, more: str = "") -> str:
    return f"sum(increase({metric}{{SEL{more}}}[1h]))"


def quantile(q: float, metric: str, by: str = "") -> str:
    """Return a quantile; nothing instead of NaN if nothing was observed."""
    labels = f"le, {by}" if by else "le"
    inner = f"sum by ({labels}) (rate({metric}_bucket{{SEL}}[$__rate_interval]))"
    return f"histogram_quantile({q}, {inner}) >= 0"


def share(part: str, whole: str) -> str:
    """Return a ratio; nothing instead of NaN if the whole is 0."""
    return f"{part} / ({whole} > 0)"


def known(query: str) -> str:
    """Return a query that always has a value: if the query has none, 0 if a worker reports, else -1."""
    return f"({query}) or 0 * max(stream_ready{{SEL}}) or vector({UNKNOWN})"


def or_unknown(query: str) -> str:
    """Return a query that is -1 if it has no value."""
    return f"({query}) or vector({UNKNOWN})"


def or_zero(query: str) -> str:
    """Return a query that is 0 if it has no value: only for metrics that mean 0 if nobody reports them."""
    return f"({query}) or vector(0)"


def dashboard_json(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": list(dashboard.tags),
        "editable": False,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [
            {
                "type": "dashboards", "tags": list(dashboard.tags), "asDropdown": False,
                "includeVars": True, "keepTime": True, "title": "",
            }
        ],
        "annotations": {"list": [_annotation_json(each) for each in dashboard.annotations]},
        "templating": {"list": _variables()},
        "panels": list(_panels_json(dashboard.rows)),
    }  # fmt: skip


def _annotation_json(annotation: Annotation) -> Json:
    return {
        "name": annotation.name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": annotation.colour,
        "expr": annotation.query.replace("SEL", SELECTOR),
        "titleFormat": annotation.title,
        "useValueForTime": annotation.at_value,
        "step": "10s",
    }


def _variables() -> list[Json]:
    every = {"allValue": ".+", "includeAll": True, "multi": True, "refresh": 2, "sort": 1, "type": "query"}
    ours = '{__name__=~"stream_records_total|stream_audit_records|stream_view_words"}'
    queries = {
        "job": f"label_values({ours}, job)",
        "instance": f'label_values({ours[:-1]},job=~"$job"}}, instance)',
    }
    return [
        {"label": "Data source", "name": "datasource", "query": "prometheus", "type": "datasource"},
        *(
            {
                **every,
                "name": name,
                "label": name.title(),
                "datasource": DATASOURCE,
                "query": query,
                "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            }
            for name, query in queries.items()
        ),
    ]


def _panels_json(rows: Sequence[Row]) -> Iterator[Json]:
    """Yield the panels of the first row, and each further row with its panels inside it."""
    number, y = 1, 0
    for index, row in enumerate(rows):
        head: Json = {
            "id": number, "type": "row", "title": row.title, "collapsed": index > 0, "panels": [],
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
        }  # fmt: skip
        panels = list(_laid_out(row, number + 1, y + 1))
        number += 1 + len(panels)
        if index:
            head["panels"] = panels
            yield head
            y += 1
        else:
            yield from (head, *panels)
            y = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)


def _laid_out(row: Row, number: int, y: int) -> Iterator[Json]:
    x = height = 0
    for panel in row.panels:
        if x + panel.width > WIDTH:
            x, y = 0, y + height
        height = panel.height
        yield _panel_json(panel, number, {"h": height, "w": panel.width, "x": x, "y": y})
        number, x = number + 1, x + panel.width


def _panel_json(panel: Panel, number: int, grid: Json) -> Json:
    pages = panel.runbook.split()
    links = [{"title": f"Runbook {p}", "url": f"{SERVED}/{p}.md", "targetBlank": True} for p in pages]
    return {
        "id": number,
        "type": "table" if panel.kind == "events" else panel.kind,
        "title": panel.title,
        "description": " ".join([panel.text, *(f"Runbook: {RUNBOOKS}/{page}.md" for page in pages)]),
        "datasource": DATASOURCE,
        "gridPos": grid,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_overrides(panel))},
        "options": _options(panel),
        "links": links,
        "targets": list(_targets(panel)),
        "transformations": _TRANSFORMATIONS.get(panel.kind, []),
    }


def _targets(panel: Panel) -> Iterator[Json]:
    is_curve = panel.kind in {"timeseries", "state-timeline", "heatmap"} or panel.line
    for index, (legend, query) in enumerate(panel.queries.items()):
        yield {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "expr": query.replace("SEL", SELECTOR),
            "legendFormat": legend,
            "instant": not is_curve,
            "range": is_curve,
            "format": panel.kind if panel.kind in {"heatmap", "table"} else "time_series",
        }


_HIDDEN = ("Time", "Value", "__name__", "alertstate")
_TRANSFORMATIONS: dict[str, list[Json]] = {
    "events": [{"id": "reduce", "options": {"reducers": ["lastNotNull"]}}],
    "table": [
        {
            "id": "organize",
            "options": {"excludeByName": {"Time": True, "Value": True, "__name__": True, "alertstate": True}},
        }
    ],
}


def _defaults(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit, "noValue": panel.unknown if panel.kind == "table" else "no data"}
    if panel.unit == "none":
        defaults["decimals"] = 0
    if panel.kind == "timeseries":
        defaults["min"] = 0
        custom: Json = {"fillOpacity": 10, "showPoints": "never"}
        if panel.unit == "none":
            custom["axisSoftMax"] = 1
        if panel.stack:
            custom["stacking"] = {"mode": "normal", "group": "A"}
        defaults["custom"] = custom
    if panel.levels is not None:
        defaults["thresholds"] = {"mode": "absolute", "steps": panel.levels.steps()}
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind in {"stat", "state-timeline", "events"}:
        levels = panel.levels or NEUTRAL
        defaults["mappings"] = _mappings(panel, levels)
    return defaults


def _mappings(panel: Panel, levels: Levels) -> list[Json]:
    def value(number: int, text: str, colour: str) -> Json:
        return {"type": "value", "options": {str(number): {"text": text, "color": colour}}}

    colours = {0: levels.fine if not levels.low else RED, 1: RED if not levels.low else levels.fine}
    return [
        value(UNKNOWN, panel.unknown, levels.unknown),
        *(value(number, text, colours.get(number, levels.fine)) for number, text in panel.texts.items()),
        {
            "type": "special",
            "options": {"match": "null+nan", "result": {"text": panel.unknown, "color": levels.unknown}},
        },
    ]


def _overrides(panel: Panel) -> Iterator[Json]:
    for legend, levels in panel.of.items():
        steps = {"mode": "absolute", "steps": levels.steps()}
        yield {
            "matcher": {"id": "byName", "options": legend},
            "properties": [
                {"id": "thresholds", "value": steps},
                {"id": "mappings", "value": _mappings(panel, levels)},
            ],
        }
    for legend, colour in panel.colours.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        yield {
            "matcher": {"id": "byName", "options": legend},
            "properties": [{"id": "color", "value": fixed}],
        }


def _options(panel: Panel) -> Json:
    reduced: Json = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False}}
    if panel.kind == "timeseries":
        legend = {
            "displayMode": "table", "placement": "bottom", "showLegend": True,
            "calcs": ["min", "mean", "max", "lastNotNull"],
        }  # fmt: skip
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "stat":
        return reduced | {
            "colorMode": "background",
            "graphMode": "area" if panel.line else "none",
            "textMode": "value_and_name" if len(panel.queries) > 1 else "value",
        }
    if panel.kind == "bargauge":
        return reduced | {"orientation": "horizontal", "displayMode": "gradient"}
    if panel.kind == "state-timeline":
        return {"mergeValues": True, "showValue": "auto", "legend": {"showLegend": False}}
    if panel.kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": panel.unit}, "cellGap": 1}
    return {"showHeader": True, "cellHeight": "sm"}
