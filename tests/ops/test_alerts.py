"""The alerts: each has a severity, a runbook, a case in which it fires and one in which it is silent."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.ops import OPS, RULE_TESTS, RULES, RUNBOOKS, alerts, promtool, rules

RUNBOOK_BASE = '{{ or $externalLabels.runbooks "ops/runbooks" }}'
SECTIONS = ("## What it means", "## Confirm", "## Do", "## Check")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = promtool()
    if command is None:
        pytest.skip("no promtool on PATH, and no image of Prometheus")
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("alert", alerts(), ids=lambda a: a["alert"] + a["labels"].get("window", ""))
def test_alert_has_a_severity_a_description_and_a_runbook_with_commands(
    alert: dict[str, dict[str, str]],
) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    annotations = alert["annotations"]
    assert annotations["summary"]
    assert annotations["description"]
    assert annotations["dashboard"] == "{{ $externalLabels.grafana }}/d/anagram-stream-operations"
    assert annotations["runbook_url"] == f"{RUNBOOK_BASE}/{alert['alert']}.md"
    page = (RUNBOOKS / f"{alert['alert']}.md").read_text()
    assert page.startswith(f"# {alert['alert']}\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert "```sh" in page, "a runbook has commands"


def test_every_runbook_belongs_to_an_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")}
    assert pages == {alert["alert"] for alert in alerts()}


def test_commands_in_runbooks_exist() -> None:
    from stream.cli.main import app  # noqa: PLC0415 - slow to import

    known = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    known |= {group.name or "" for group in app.registered_groups}
    for page in RUNBOOKS.glob("*.md"):
        used = set(re.findall(r"anagram-stream ([a-z-]+)", page.read_text()))
        assert used <= {name.replace("_", "-") for name in known}, page.name


def test_no_alert_depends_on_the_name_of_a_job() -> None:
    for rule in rules():
        assert not re.search(r"\b(?:job|instance)\s*(?:=|!)", rule["expr"]), rule


def test_every_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    tests = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    cases = [(test["name"], test["promql_expr_test"]) for test in tests]
    for alert in alerts():
        window = alert["labels"].get("window")
        name = alert["alert"] + (f" over {window}" if window else "")
        fires = next(checks for case, checks in cases if case == f"{name} fires")
        silent = next(checks for case, checks in cases if case == f"{name} is silent")
        assert [check["exp_samples"] for check in fires] == [[{"value": 1}]]
        assert [check["exp_samples"] for check in silent] == [[]]
        assert all(f'alertname="{alert["alert"]}"' in check["expr"] for check in (*fires, *silent))


def test_promtool_accepts_rules_and_configuration() -> None:
    for kind, path in (("rules", RULES), ("config", OPS / "prometheus/prometheus.yml")):
        checked = run("check", kind, path)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alerts_fire_and_are_silent_as_their_cases_say() -> None:
    done = run("test", "rules", RULE_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
