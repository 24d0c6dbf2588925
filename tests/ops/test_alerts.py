"""The alerts: all that one needs at night, a case in which each fires and one in which it does not."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.ops import OPS, ROOT, RULE_TESTS, RULES, RUNBOOKS, alerts, promtool

SECTIONS = ("## What it means", "## Confirm", "## Do")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = promtool()
    if command is None:
        pytest.skip("no promtool on PATH, and no image of Prometheus")
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("alert", alerts(), ids=lambda a: a["alert"] + a["labels"].get("window", ""))
def test_alert_says_how_bad_it_is_what_it_means_and_where_to_look(alert: dict[str, dict[str, str]]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    said = alert["annotations"]
    assert said["summary"]
    assert said["description"]
    assert said["dashboard"] == "/d/anagram-stream-operations"
    assert said["runbook_url"] == f"ops/runbooks/{alert['alert']}.md"
    page = (ROOT / said["runbook_url"]).read_text()
    assert page.startswith(f"# {alert['alert']}\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert "```sh" in page, "commands, not advice"


def test_every_runbook_is_of_an_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")}
    assert pages == {alert["alert"] for alert in alerts()}


def test_commands_in_runbooks_exist() -> None:
    from stream.cli.main import app  # noqa: PLC0415 - slow to import

    known = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    known |= {group.name or "" for group in app.registered_groups}
    for page in RUNBOOKS.glob("*.md"):
        used = set(re.findall(r"anagram-stream ([a-z-]+)", page.read_text()))
        assert used <= {name.replace("_", "-") for name in known}, page.name


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


def test_promtool_takes_rules_and_configuration() -> None:
    for what, path in (("rules", RULES), ("config", OPS / "prometheus/prometheus.yml")):
        done = run("check", what, path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_and_are_silent_where_they_should() -> None:
    done = run("test", "rules", RULE_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
