"""The rules of Grafana's dashboard-linter, under its names, and our own rules for incidents.

A tile is green only if a process reports a good value. Every metric that a panel queries is exported.
"""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from support.ops import (
    DASHBOARDS,
    OPS,
    ROOT,
    RUNBOOKS,
    alerts,
    dashboards,
    exported,
    names_in,
    panels,
    rules,
)

Dashboard = dict[str, Any]
Rule = Callable[[Dashboard], Iterator[tuple[str, str]]]

COUNTED = ("records", "words", "transactions", "requests", "runs")
UNITS = {"none", "short", "s", "bytes", "Bps", "percentunit"} | {f"count:{what}/s" for what in COUNTED}
NOT_SHOWN = {"process_virtual_memory_bytes"}  # reserved addresses, not memory in use
MATCHERS = ('job=~"$job"', 'instance=~"$instance"')
COUNTER = r"[a-z_]+_(?:total|bucket|count|sum)\{"
EXCLUDED = yaml.safe_load((OPS / "grafana/dashboards/.lint").read_text())["exclusions"]


def variable(dashboard: Dashboard, name: str) -> dict[str, Any]:
    variables = [each for each in dashboard["templating"]["list"] if each["name"] == name]
    return variables[0] if len(variables) == 1 else {}


def targets(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def template_datasource_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    sources = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
    if [(each["name"], each["label"]) for each in sources] != [("datasource", "Data source")]:
        yield "", "exactly one, named datasource, labeled Data source"


def template_labels(dashboard: Dashboard, name: str) -> Iterator[tuple[str, str]]:
    expected = {
        "label": name.title(), "type": "query", "multi": True, "includeAll": True, "allValue": ".+",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
    }  # fmt: skip
    actual = variable(dashboard, name)
    for key, value in expected.items():
        if actual.get(key) != value:
            yield "", f"variable {name}: {key} is {actual.get(key)}, not {value}"
    if not re.fullmatch(r"label_values\(.+, " + name + r"\)", str(actual.get("query"))):
        yield "", f"variable {name}: {actual.get('query')}"


def template_job_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    yield from template_labels(dashboard, "job")


def template_instance_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    yield from template_labels(dashboard, "instance")


def template_on_time_change_reload_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for each in dashboard["templating"]["list"]:
        if each["type"] == "query" and each.get("refresh") != 2:
            yield "", f"{each['name']} does not reload"


def panel_datasource_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        if {json.dumps(each["datasource"]) for each in (panel, *panel["targets"])} != {
            '{"type": "prometheus", "uid": "${datasource}"}'
        }:
            yield panel["title"], "another datasource"


def panel_title_description_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield panel.get("title", ""), "no title or no description"


def panel_units_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
            yield panel["title"], "no unit, or a unit that is not allowed"


def panel_no_targets_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    yield from ((panel["title"], "no target") for panel in panels(dashboard) if not panel.get("targets"))


def target_job_and_instance_rules(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for title, query in targets(dashboard):
        selectors = re.findall(r"\{([^}]*)\}", query)
        metrics = names_in(query) | ({"up"} if re.search(r"\bup\b", query) else set())
        if re.fullmatch(r"vector\(\d+\)", query):
            continue
        if len(selectors) < len(metrics) or not metrics:
            yield title, f"a metric without matchers: {query}"
        for selector in selectors:
            if not all(matcher in selector for matcher in MATCHERS):
                yield title, f"no job or instance matcher: {query}"


def target_rate_interval_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for title, query in targets(dashboard):
        if any(span != "$__rate_interval" for span in re.findall(r"\[([^]]*)\]", query)):
            yield title, query


def target_counter_agg_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for title, query in targets(dashboard):
        counters = re.findall(COUNTER, query)
        if len(counters) != len(re.findall(r"\b(?:rate|increase)\(" + COUNTER, query)):
            yield title, f"a counter without a rate: {query}"


def uneditable_dashboard(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    if dashboard.get("editable") is not False:
        yield "", "editable"


def stat_colours_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """A tile is colored by its value; an unknown value (-1 or no data) is not green and has a text."""
    for panel in panels(dashboard):
        if panel["type"] != "stat":
            continue
        fields = panel["fieldConfig"]
        overrides = [
            {each["id"]: each["value"] for each in override["properties"]} for override in fields["overrides"]
        ]
        for field in (fields["defaults"], *overrides):
            steps = field.get("thresholds", {}).get("steps", [])
            texts = {
                key
                for each in field.get("mappings", ())
                for key in each["options"]
                if each["type"] == "value"
            }
            specials = {
                each["options"]["match"] for each in field.get("mappings", ()) if each["type"] == "special"
            }
            if len(steps) < 2 or steps[0]["color"] == "green":
                yield panel["title"], f"colors: {steps}"
            if "-1" not in texts or "null+nan" not in specials:
                yield panel["title"], "no text for unknown values"


def stat_has_a_value_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """A tile without a series is gray and shows nothing."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            if panel["type"] == "stat" and not re.search(r" or vector\((?:0|-1)\)$", target["expr"]):
                yield panel["title"], target["expr"]


def stat_zero_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """Without data a tile shows -1, since 0 may be green. Two tiles count reporting workers: 0 is right."""
    for panel in panels(dashboard):
        if panel["type"] != "stat" or panel["title"] in {"Workers", "Ready"}:
            continue
        for target in panel["targets"]:
            if not target["expr"].endswith(" or vector(-1)"):
                yield panel["title"], target["expr"]


def nan_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """No query divides 0 by 0 while workers are idle."""
    for title, query in targets(dashboard):
        for divisor in re.findall(r" / (.+)", query):
            if not re.match(r"\(.+ > 0\)", divisor):
                yield title, f"may divide by 0: {query}"
        if query.count("histogram_quantile(") != query.count(" >= 0"):
            yield title, f"a quantile of nothing is NaN: {query}"


def rows_collapsed_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    for number, row in enumerate(rows):
        if not row["title"].rstrip(")").removesuffix(" (serve").endswith("?"):
            yield row["title"], "not a question"
        if row["collapsed"] != (number > 0) or bool(row["panels"]) != (number > 0):
            yield row["title"], "not collapsed, or its panels are outside"
    first_collapsed = dashboard["panels"].index(rows[1])
    if any(panel["type"] != "row" for panel in dashboard["panels"][first_collapsed:]):
        yield "", "a panel outside its collapsed row"


def audit_is_no_worker_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """`up` counts every target: audits and servers too."""
    for title, query in targets(dashboard):
        if re.search(r"\bup\b", query):
            yield title, query


def legend_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        legend = panel["options"].get("legend", {})
        if panel["type"] == "timeseries" and (legend.get("displayMode"), len(legend.get("calcs", ()))) != (
            "table",
            4,
        ):
            yield panel["title"], "the legend is not a table"


def counts_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """Counts have no decimals, and their axis reaches at least 1."""
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        if defaults["unit"] != "none":
            continue
        if defaults.get("decimals") != 0:
            yield panel["title"], "decimals"
        if panel["type"] == "timeseries" and defaults["custom"].get("axisSoftMax") != 1:
            yield panel["title"], "axis"


def age_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """`time() - x` includes the age of the scrape, so it is allowed only for events long ago."""
    for title, query in targets(dashboard):
        for metric in re.findall(r"time\(\) - [a-z_ ()]*?(stream_[a-z_]+|process_[a-z_]+)", query):
            if not re.search("started|start_time|last_round", metric):
                yield title, query


def one_truth_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """The contents of a partition are not summed: they are reported twice while the partition moves."""
    for title, query in targets(dashboard):
        if re.search(r"(?:sum|count)[a-z ]*(?:by \([a-z, ]*\))? ?\(stream_(?:store_keys|view_)", query):
            yield title, query


def annotations_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    names = {each["name"] for each in dashboard["annotations"]["list"] if each["enable"]}
    if names != {"Rebalances", "Worker starts", "Deploys"}:
        yield "", str(names)


RULES: tuple[Rule, ...] = (
    template_datasource_rule, template_job_rule, template_instance_rule, template_on_time_change_reload_rule,
    panel_datasource_rule, panel_title_description_rule, panel_units_rule, panel_no_targets_rule,
    target_job_and_instance_rules, target_rate_interval_rule, target_counter_agg_rule, uneditable_dashboard,
    stat_colours_rule, stat_has_a_value_rule, stat_zero_rule, nan_rule, rows_collapsed_rule,
    audit_is_no_worker_rule, legend_rule, counts_rule, age_rule, one_truth_rule, annotations_rule,
)  # fmt: skip


def complaints(rule: Rule, dashboard: Dashboard) -> list[tuple[str, str]]:
    exclusion = EXCLUDED.get(rule.__name__.replace("_", "-"), {"entries": []})
    excluded = {entry["panel"] for entry in exclusion["entries"]}
    return [(title, text) for title, text in rule(dashboard) if title not in excluded]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_dashboard_passes_the_linter(rule: Rule, dashboard: Dashboard) -> None:
    assert not complaints(rule, dashboard)


def broken(change: Callable[[Dashboard], object]) -> Dashboard:
    dashboard = copy.deepcopy(dashboards()[1])
    assert dashboard["uid"] == "anagram-stream-operations"
    change(dashboard)
    return dashboard


def words_panel(dashboard: Dashboard) -> dict[str, Any]:
    return next(panel for panel in panels(dashboard) if "stream_words_total" in panel["targets"][0]["expr"])


def panel_of(dashboard: Dashboard, title: str) -> dict[str, Any]:
    return next(panel for panel in panels(dashboard) if panel["title"] == title)


def defaults_of(dashboard: Dashboard, title: str) -> dict[str, Any]:
    defaults: dict[str, Any] = panel_of(dashboard, title)["fieldConfig"]["defaults"]
    return defaults


def steps_of(dashboard: Dashboard, title: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = defaults_of(dashboard, title)["thresholds"]["steps"]
    return steps


def replace_in(title: str, old: str, new: str) -> Callable[[Dashboard], object]:
    def change(dashboard: Dashboard) -> None:
        target = panel_of(dashboard, title)["targets"][0]
        assert old in target["expr"]
        target["expr"] = target["expr"].replace(old, new)

    return change


def replace_in_query(old: str, new: str) -> Callable[[Dashboard], object]:
    return replace_in("Words", old, new)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (template_datasource_rule, lambda d: d["templating"]["list"].pop(0)),
        (template_job_rule, lambda d: d["templating"]["list"][1].update(multi=False)),
        (template_instance_rule, lambda d: d["templating"]["list"][2].update(allValue=".*")),
        (template_on_time_change_reload_rule, lambda d: d["templating"]["list"][1].update(refresh=1)),
        (panel_datasource_rule, lambda d: words_panel(d)["targets"][0].update(datasource={"uid": "x"})),
        (panel_title_description_rule, lambda d: words_panel(d).update(description="")),
        (panel_units_rule, lambda d: words_panel(d)["fieldConfig"]["defaults"].update(unit="words")),
        (panel_no_targets_rule, lambda d: words_panel(d).update(targets=[])),
        (target_job_and_instance_rules, replace_in_query('job=~"$job",', "")),
        (target_job_and_instance_rules, replace_in_query('{job=~"$job",instance=~"$instance"}', "")),
        (target_rate_interval_rule, replace_in_query("$__rate_interval", "5m")),
        (target_counter_agg_rule, replace_in_query("rate(", "max_over_time(")),
        (uneditable_dashboard, lambda d: d.update(editable=True)),
        (
            stat_colours_rule,
            lambda d: defaults_of(d, "Lag")["thresholds"]["steps"].__delitem__(slice(1, 9)),
        ),
        (
            stat_colours_rule,
            lambda d: defaults_of(d, "Lag")["thresholds"]["steps"][0].update(color="green"),
        ),
        (stat_colours_rule, lambda d: defaults_of(d, "Lag")["mappings"].pop()),
        (stat_colours_rule, lambda d: defaults_of(d, "Lag")["mappings"].pop(0)),
        (stat_has_a_value_rule, replace_in("Lag", " or vector(-1)", "")),
        (stat_zero_rule, replace_in("Rejected", "vector(-1)", "vector(0)")),
        (nan_rule, replace_in("Rejected", " > 0)", ")")),
        (nan_rule, replace_in("Latency", " >= 0", "")),
        (rows_collapsed_rule, lambda d: d["panels"][-1].update(collapsed=False)),
        (rows_collapsed_rule, lambda d: d["panels"].append(d["panels"][-1]["panels"].pop())),
        (rows_collapsed_rule, lambda d: d["panels"][-1].update(title="Process")),
        (audit_is_no_worker_rule, replace_in("Workers", "stream_ready{", "up{")),
        (legend_rule, lambda d: panel_of(d, "Latency")["options"]["legend"].update(displayMode="list")),
        (counts_rule, lambda d: defaults_of(d, "Rebalances").pop("decimals")),
        (counts_rule, lambda d: defaults_of(d, "Rebalances")["custom"].pop("axisSoftMax")),
        (
            age_rule,
            replace_in("Uptime", "stream_started_timestamp_seconds", "stream_last_commit_timestamp_seconds"),
        ),
        (one_truth_rule, replace_in("Signatures by partition", "max by", "sum by")),
        (annotations_rule, lambda d: d["annotations"]["list"].pop()),
    ],
)
def test_rule_finds_what_it_forbids(rule: Rule, change: Callable[[Dashboard], object]) -> None:
    assert complaints(rule, broken(change))


def test_exclusion_has_a_reason_and_is_needed() -> None:
    by_name = {rule.__name__.replace("_", "-"): rule for rule in RULES}
    for name, exclusion in EXCLUDED.items():
        assert exclusion["reason"]
        titles = {title for dashboard in dashboards() for title, _ in by_name[name](dashboard)}
        assert {entry["panel"] for entry in exclusion["entries"]} == titles


def test_dashboards_are_up_to_date_with_their_script() -> None:
    script = [sys.executable, str(OPS / "grafana/dashboards.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(DASHBOARDS) == 2


def documents() -> str:
    """Return the handwritten pages, because the reference lists every metric."""
    pages = [path for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.parts]
    return "\n".join(path.read_text() for path in (ROOT / "README.md", *pages, *RUNBOOKS.glob("*.md")))


def queried_metrics() -> dict[str, set[str]]:
    """Return name -> titles of the panels and alerts that query it."""
    titles: dict[str, set[str]] = {}
    for dashboard in dashboards():
        for title, query in targets(dashboard):
            for name in names_in(query):
                titles.setdefault(name, set()).add(title)
    for rule in rules():
        for name in names_in(rule["expr"]):
            titles.setdefault(name, set()).add(str(rule.get("alert", rule.get("record"))))
    return titles


def test_every_metric_that_a_panel_or_an_alert_queries_is_exported() -> None:
    known = {name for names in exported().values() for name in names}
    unknown = {name: titles for name, titles in queried_metrics().items() if name not in known}
    assert not unknown
    assert len(known) > 60


def test_every_exported_metric_is_in_a_panel_an_alert_or_a_document() -> None:
    queried, text = set(queried_metrics()), documents()
    unnamed = {
        metric
        for metric, names in exported().items()
        if metric not in NOT_SHOWN and not names & queried and not any(name in text for name in names)
    }
    assert not unnamed


def test_panels_link_to_the_runbooks_of_all_alerts() -> None:
    linked = {
        link["url"] for dashboard in dashboards() for panel in panels(dashboard) for link in panel["links"]
    }
    pages = {url.replace("/public/runbooks/", "ops/runbooks/") for url in linked}
    assert all((ROOT / page).is_file() for page in pages)
    assert pages == {f"ops/runbooks/{alert['alert']}.md" for alert in alerts()}
    served = "./ops/runbooks:/usr/share/grafana/public/runbooks:ro"
    assert served in (ROOT / "docker-compose.yml").read_text()
