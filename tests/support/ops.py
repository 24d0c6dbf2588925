"""The contents of ops/ (dashboards, alerts, runbooks), and the container engine."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from stream.telemetry.metrics import AuditMetrics, Metrics, ServeMetrics, process_metrics

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
RULES = OPS / "prometheus/rules/anagram-stream.yml"
RULE_TESTS = OPS / "prometheus/tests/anagram-stream.yml"
DASHBOARDS = sorted((OPS / "grafana/dashboards").glob("*.json"))
RUNBOOKS = OPS / "runbooks"
PROMETHEUS = f"prom/prometheus:{os.environ.get('PROMETHEUS_TAG', 'v3.5.0')}"
PULL_S_MAX = 300
NAME = re.compile(r"\b(?:stream|process|python)_[a-z0-9_]+\b")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in DASHBOARDS]


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels, including those in collapsed rows."""
    flat = [each for panel in dashboard["panels"] for each in (panel, *panel.get("panels", ()))]
    return [panel for panel in flat if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Yield (location, PromQL) of every panel, with the variables replaced."""
    for dashboard in dashboards():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                query = target["expr"].replace("$job", ".+").replace("$instance", ".+")
                location = f"{dashboard['title']} / {panel['title']} / {target['refId']}"
                yield location, query.replace("$__rate_interval", "30s")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def without_labels(query: str) -> str:
    """Return a query without matchers and label lists, so that only names of metrics are left."""
    bare = re.sub(r"\{[^}]*\}", "{}", query)
    return re.sub(r"\b(?:by|on|ignoring)\s*\([^)]*\)", "", bare)


def names_in(query: str) -> set[str]:
    return {name for name in NAME.findall(without_labels(query)) if not name.endswith("_objective")}


def exported() -> dict[str, set[str]]:
    """Return metric -> names of its series, for every metric that the code exports."""
    series: dict[str, set[str]] = {}
    registries = [made.registry for made in (Metrics(), AuditMetrics(), ServeMetrics())]
    families = [family for registry in registries for family in registry.collect()]
    for family in (*families, *process_metrics({}, {})):
        series[family.name] = {family.name + end for end in SUFFIXES.get(family.type, ("",))}
    return series


@cache
def docker() -> str:
    """Return the version of the container engine; empty if there is none."""
    if shutil.which("docker") is None:
        return ""
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def image(name: str, *, pull: bool) -> bool:
    """Return whether an image exists locally or can be pulled."""
    if not docker():
        return False
    inspect = ["docker", "image", "inspect", name]
    if subprocess.run(inspect, capture_output=True, check=False).returncode == 0:
        return True
    if not pull:
        return False
    try:
        fetch = ["docker", "pull", "--quiet", name]
        return subprocess.run(fetch, capture_output=True, timeout=PULL_S_MAX, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def promtool() -> list[str] | None:
    """Return the command that runs promtool on ops/prometheus, installed or in a container."""
    if path := shutil.which("promtool"):
        return [path]
    if image(PROMETHEUS, pull=False):
        folder = OPS / "prometheus"
        mount = ["-v", f"{folder}:{folder}:ro", "-v", f"{folder}/rules:/etc/prometheus/rules:ro"]
        return ["docker", "run", "--rm", *mount, "--entrypoint", "promtool", PROMETHEUS]
    return None
