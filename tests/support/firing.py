"""A real Prometheus with the alerts of ops/prometheus; an hour of a rule takes a minute."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import yaml
from support.ops import PROMETHEUS, RULES
from support.topics import wait_until

SCALE = 60
SLOWER = {"StreamRebalanceStorm": 10, "StreamWorkerRestarts": 10}  # a rebalance or a start takes seconds
UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
THRESHOLDS_S = {"60": "3", "900": "15"}  # seconds without progress


def scaled(span: str, scale: int = SCALE) -> str:
    number, unit = int(span[:-1]), span[-1]
    return f"{max(1, number * UNITS_S[unit] // scale)}s"


def _span(scale: int, match: re.Match[str]) -> str:
    """Scale a range, or a subquery with its step."""
    return f"[{':'.join(scaled(span, scale) for span in match[1].split(':'))}]"


def scaled_rules() -> str:
    """Return the rules with all times divided by 60, otherwise unchanged."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            scale = SLOWER.get(rule.get("alert"), SCALE)
            query = re.sub(r"\[(\d+[mhd](?::\d+[mhd])?)\]", partial(_span, scale), rule["expr"])
            rule["expr"] = re.sub(r"> (60|900)\b", lambda m: f"> {THRESHOLDS_S[m[1]]}", query)
            if "for" in rule:
                rule["for"] = scaled(rule["for"])
    return str(yaml.safe_dump(rules))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """A running Prometheus; `scrape` sets its targets."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._address = f"http://127.0.0.1:{port}"

    def scrape(self, **ports: int) -> None:
        """Scrape only these jobs (with `_` for `-`) on these ports."""
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"job": job.replace("_", "-")}}
            for job, port in ports.items()
        ]
        (self._folder / "targets.json").write_text(json.dumps(targets))

    def query_api(self, path: str) -> Any:
        with urlopen(f"{self._address}/api/v1/{path}", timeout=5) as response:
            return json.loads(response.read())["data"]

    def firing(self) -> set[str]:
        alerts = self.query_api("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def wait_for(self, alert: str, seconds: float) -> float:
        """Wait until an alert fires; return the seconds that it took."""
        started = time.monotonic()
        wait_until(lambda: alert in self.firing(), seconds, every=0.25)
        return time.monotonic() - started


@contextmanager
def run_prometheus() -> Iterator[Prometheus]:
    folder = Path(tempfile.mkdtemp(prefix="anagram-stream-alerts-"))
    folder.chmod(0o755)
    port, name = free_port(), folder.name
    (folder / "rules.yml").write_text(scaled_rules())
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}\n"
        "rule_files: [/etc/prometheus/rules.yml]\n"
        "scrape_configs:\n"
        "  - job_name: any\n"
        "    file_sd_configs: [{files: [/etc/prometheus/targets.json], refresh_interval: 1s}]\n"
    )
    prometheus = Prometheus(folder, port)
    prometheus.scrape()
    command = ["docker", "run", "--detach", "--rm", "--name", name, "--network", "host"]
    mount = ["-v", f"{folder}:/etc/prometheus:ro", PROMETHEUS]
    options = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/tmp/data"]
    listen = f"--web.listen-address=127.0.0.1:{port}"
    subprocess.run([*command, *mount, *options, listen], check=True, capture_output=True)
    try:
        wait_until(lambda: _is_ready(prometheus), 30)
        yield prometheus
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)
        shutil.rmtree(folder)


def _is_ready(prometheus: Prometheus) -> bool:
    try:
        return bool(prometheus.query_api("rules"))
    except (URLError, OSError):
        return False
