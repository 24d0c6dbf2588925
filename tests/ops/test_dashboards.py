"""Grafana's dashboard-linter, rule by rule under its names, and: no panel asks for what is not exported."""

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

UNITS = {"none", "short", "s", "bytes", "Bps", "ops", "wps", "percentunit"}  # of Grafana's, those in use
MATCHERS = ('job=~"$job"', 'instance=~"$instance"')
COUNTER = r"[a-z_]+_(?:total|bucket|count|sum)\{"
EXCLUDED = yaml.safe_load((OPS / "grafana/dashboards/.lint").read_text())["exclusions"]


def variable(dashboard: Dashboard, name: str) -> dict[str, Any]:
    found = [each for each in dashboard["templating"]["list"] if each["name"] == name]
    return found[0] if len(found) == 1 else {}


def targets(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def template_datasource_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    found = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
    if [(each["name"], each["label"]) for each in found] != [("datasource", "Data source")]:
        yield "", "exactly one, named datasource, labelled Data source"


def template_labels(dashboard: Dashboard, name: str) -> Iterator[tuple[str, str]]:
    wanted = {
        "label": name.title(), "type": "query", "multi": True, "includeAll": True, "allValue": ".+",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
    }  # fmt: skip
    found = variable(dashboard, name)
    for key, value in wanted.items():
        if found.get(key) != value:
            yield "", f"variable {name}: {key} is {found.get(key)}, not {value}"
    if not re.fullmatch(r"label_values\(.+, " + name + r"\)", str(found.get("query"))):
        yield "", f"variable {name}: {found.get('query')}"


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
            yield panel["title"], "no unit, or none of Grafana's"


def panel_no_targets_rule(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    yield from ((panel["title"], "no target") for panel in panels(dashboard) if not panel.get("targets"))


def target_job_and_instance_rules(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for title, query in targets(dashboard):
        selectors = re.findall(r"\{([^}]*)\}", query)
        named = names_in(query) | ({"up"} if re.search(r"\bup\b", query) else set())
        if len(selectors) < len(named) or not named:
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
            yield title, f"a counter as it is: {query}"


def uneditable_dashboard(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    if dashboard.get("editable") is not False:
        yield "", "editable"


RULES: tuple[Rule, ...] = (
    template_datasource_rule, template_job_rule, template_instance_rule, template_on_time_change_reload_rule,
    panel_datasource_rule, panel_title_description_rule, panel_units_rule, panel_no_targets_rule,
    target_job_and_instance_rules, target_rate_interval_rule, target_counter_agg_rule, uneditable_dashboard,
)  # fmt: skip


def complaints(rule: Rule, dashboard: Dashboard) -> list[tuple[str, str]]:
    exclusion = EXCLUDED.get(rule.__name__.replace("_", "-"), {"entries": []})
    left_out = {entry["panel"] for entry in exclusion["entries"]}
    return [found for found in rule(dashboard) if found[0] not in left_out]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard["uid"])
def test_dashboard_passes_the_linter(rule: Rule, dashboard: Dashboard) -> None:
    assert not complaints(rule, dashboard)


def broken(change: Callable[[Dashboard], object]) -> Dashboard:
    dashboard = copy.deepcopy(dashboards()[1])
    change(dashboard)
    return dashboard


def first(dashboard: Dashboard) -> dict[str, Any]:
    return next(panel for panel in panels(dashboard) if "stream_words_total" in panel["targets"][0]["expr"])


def rewritten(old: str, new: str) -> Callable[[Dashboard], object]:
    def change(dashboard: Dashboard) -> None:
        target = first(dashboard)["targets"][0]
        assert old in target["expr"]
        target["expr"] = target["expr"].replace(old, new)

    return change


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (template_datasource_rule, lambda d: d["templating"]["list"].pop(0)),
        (template_job_rule, lambda d: d["templating"]["list"][1].update(multi=False)),
        (template_instance_rule, lambda d: d["templating"]["list"][2].update(allValue=".*")),
        (template_on_time_change_reload_rule, lambda d: d["templating"]["list"][1].update(refresh=1)),
        (panel_datasource_rule, lambda d: first(d)["targets"][0].update(datasource={"uid": "x"})),
        (panel_title_description_rule, lambda d: first(d).update(description="")),
        (panel_units_rule, lambda d: first(d)["fieldConfig"]["defaults"].update(unit="words")),
        (panel_no_targets_rule, lambda d: first(d).update(targets=[])),
        (target_job_and_instance_rules, rewritten('job=~"$job",', "")),
        (target_job_and_instance_rules, rewritten('{job=~"$job",instance=~"$instance"}', "")),
        (target_rate_interval_rule, rewritten("$__rate_interval", "5m")),
        (target_counter_agg_rule, rewritten("rate(", "max_over_time(")),
        (uneditable_dashboard, lambda d: d.update(editable=True)),
    ],
)
def test_rule_sees_what_it_forbids(rule: Rule, change: Callable[[Dashboard], object]) -> None:
    assert complaints(rule, broken(change))


def test_an_exclusion_has_a_reason_and_is_needed() -> None:
    by_name = {rule.__name__.replace("_", "-"): rule for rule in RULES}
    for name, exclusion in EXCLUDED.items():
        assert exclusion["reason"]
        met = {title for dashboard in dashboards() for title, _ in by_name[name](dashboard)}
        assert {entry["panel"] for entry in exclusion["entries"]} == met


def test_dashboards_are_what_their_script_makes() -> None:
    script = [sys.executable, str(OPS / "grafana/dashboards.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(DASHBOARDS) == 2


def documents() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "README.md", *RUNBOOKS.glob("*.md")))


def asked_for() -> dict[str, set[str]]:
    """Name -> where it is asked for."""
    asked: dict[str, set[str]] = {}
    for dashboard in dashboards():
        for title, query in targets(dashboard):
            for name in names_in(query):
                asked.setdefault(name, set()).add(title)
    for rule in rules():
        for name in names_in(rule["expr"]):
            asked.setdefault(name, set()).add(str(rule.get("alert", rule.get("record"))))
    return asked


def test_every_metric_that_a_panel_or_an_alert_names_is_exported() -> None:
    known = {name for names in exported().values() for name in names}
    unknown = {name: where for name, where in asked_for().items() if name not in known}
    assert not unknown
    assert len(known) > 60


def test_every_metric_that_is_exported_is_named_in_a_panel_an_alert_or_a_document() -> None:
    asked, text = set(asked_for()), documents()
    unnamed = {
        metric
        for metric, names in exported().items()
        if not names & asked and not any(name in text for name in names)
    }
    assert not unnamed


def test_a_panel_with_a_runbook_links_to_one_that_is_there_and_belongs_to_an_alert() -> None:
    linked = {
        link["url"] for dashboard in dashboards() for panel in panels(dashboard) for link in panel["links"]
    }
    pages = {url.replace("/public/runbooks/", "ops/runbooks/") for url in linked}
    assert all((ROOT / page).is_file() for page in pages)
    assert pages == {alert["annotations"]["runbook_url"] for alert in alerts()}
    served = "./ops/runbooks:/usr/share/grafana/public/runbooks:ro"
    assert served in (ROOT / "docker-compose.yml").read_text()
