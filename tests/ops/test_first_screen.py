"""What the tiles of the first screen show in an incident: a real Prometheus evaluates their queries.

A tile is green only if a process reports a good value. No query of a panel is NaN without traffic.
"""

import math
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from support.firing import Prometheus, run_prometheus, scaled
from support.ops import dashboards, panels, queries
from support.process import WorkerProcess
from support.scene import Scene
from support.topics import produce, wait_until

pytestmark = [pytest.mark.docker, pytest.mark.broker, pytest.mark.embedded, pytest.mark.timeout(200)]

OPERATIONS = next(each for each in dashboards() if each["uid"] == "anagram-stream-operations")
TILES = [panel for panel in panels(OPERATIONS) if panel["type"] == "stat"]
WELL = {
    "Workers up": "green",
    "Workers missing": "green",
    "Ready ready": "green",
    "Ready not ready": "green",
    "Lag": "green",
    "Traffic": "blue",
    "Rejected": "green",
    "Failed transactions": "green",
    "Kafka": "green",
    "Differences": "green",
    "Last audit": "green",
}
NOBODY_REPORTS = {
    "Lag": "red",
    "Traffic": "red",
    "Rejected": "red",
    "Failed transactions": "red",
    "Kafka": "red",
}


class Tile(NamedTuple):
    text: str
    colour: str


def spans(query: str) -> str:
    """Scale ranges as the alerts are scaled: an hour takes a minute."""
    query = query.replace("$job", ".+").replace("$instance", ".+").replace("$__rate_interval", "10s")
    return re.sub(
        r"\[(\d+[mhd](?::\d+[mhd])?)\]",
        lambda m: f"[{':'.join(map(scaled, m[1].split(':')))}]",
        query,
    )


def shown(field: dict[str, Any], value: float) -> Tile:
    """Return what Grafana shows: a mapping of this value, else the color of its step."""
    for mapping in field["mappings"]:
        if mapping["type"] == "value" and (result := mapping["options"].get(f"{value:g}")):
            return Tile(result["text"], result["color"])
        if mapping["type"] == "special" and math.isnan(value):
            return Tile(mapping["options"]["result"]["text"], mapping["options"]["result"]["color"])
    steps = [step for step in field["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    return Tile(f"{value:g}", steps[-1]["color"])


def evaluate(prometheus: Prometheus, query: str) -> list[float]:
    result = prometheus.query_api(f"query?query={quote(spans(query))}")["result"]
    return [float(each["value"][1]) for each in result]


def tiles(prometheus: Prometheus) -> dict[str, Tile]:
    seen: dict[str, Tile] = {}
    for panel in TILES:
        fields = panel["fieldConfig"]
        for target in panel["targets"]:
            (value,) = evaluate(prometheus, target["expr"])
            field = fields["defaults"]
            for override in fields["overrides"]:
                if override["matcher"]["options"] == target["legendFormat"]:
                    field = field | {each["id"]: each["value"] for each in override["properties"]}
            name = panel["title"] + (f" {target['legendFormat']}" if len(panel["targets"]) > 1 else "")
            seen[name] = shown(field, value)
    return seen


def colours(prometheus: Prometheus) -> dict[str, str]:
    return {name: tile.colour for name, tile in tiles(prometheus).items()}


def report(incident: str, prometheus: Prometheus, well: dict[str, str] = WELL) -> None:
    now = tiles(prometheus)
    changed = {
        name: f"{tile.text} ({tile.colour})" for name, tile in now.items() if tile.colour != well[name]
    }
    print(f"\n{incident}: {changed}; firing: {sorted(prometheus.firing())}")  # noqa: T201


@pytest.fixture
def fresh(prometheus: Prometheus) -> Iterator[Prometheus]:
    """A second Prometheus; `prometheus` skips the test if Docker or the image is missing."""
    assert prometheus
    with run_prometheus() as running:
        yield running


@pytest.fixture
def well(own_broker: Scene) -> Iterator[tuple[Scene, WorkerProcess]]:
    """A worker and an audit with traffic; every tile has its normal color."""
    worker = own_broker.running_worker()
    own_broker.audit()
    produce(own_broker.env, [(None, "cat")] * 200)
    wait_until(lambda: colours(own_broker.prometheus) == WELL, 60, every=0.5)
    yield own_broker, worker
    signal_broker(own_broker, signal.SIGCONT)


def signal_broker(scene: Scene, number: int) -> None:
    subprocess.run(["kill", f"-{number}", str(scene.broker.pid)], check=False)


def test_first_screen_stays_normal_without_traffic_and_no_query_is_nan(
    well: tuple[Scene, WorkerProcess],
) -> None:
    scene, _ = well
    time.sleep(12)  # longer than the range of a rate
    assert colours(scene.prometheus) == WELL
    assert tiles(scene.prometheus)["Traffic"].text == "0"
    for location, query in queries():
        assert not any(map(math.isnan, evaluate(scene.prometheus, query))), location
    report("nothing flows", scene.prometheus)


def test_all_workers_are_dead(well: tuple[Scene, WorkerProcess]) -> None:
    scene, worker = well
    worker.kill()
    expected = WELL | NOBODY_REPORTS
    expected |= {"Workers up": "red", "Workers missing": "orange", "Ready ready": "red"}
    wait_until(lambda: colours(scene.prometheus) == expected, 30, every=0.5)
    scene.prometheus.wait_for("StreamDown", 60)
    assert tiles(scene.prometheus)["Lag"].text == "not measured"
    report("all workers are dead", scene.prometheus)


def test_broker_is_frozen(well: tuple[Scene, WorkerProcess]) -> None:
    scene, _ = well
    signal_broker(scene, signal.SIGSTOP)
    produce_s = time.monotonic()
    wait_until(partial(_is_red, scene.prometheus, "Kafka"), 60, every=0.5)
    print(f"\nthe tile is red after {time.monotonic() - produce_s:.0f} s")  # noqa: T201
    scene.prometheus.wait_for("StreamBrokerAway", 60)
    now = colours(scene.prometheus)
    assert now["Ready ready"] == "red"
    assert now["Lag"] == "red", "the last value that a worker knew is out of date"
    assert now["Workers up"] == "green", "the process is running"
    report("the broker is frozen", scene.prometheus)


def _is_red(prometheus: Prometheus, tile: str) -> bool:
    return colours(prometheus)[tile] == "red"


def test_new_prometheus_without_any_worker(fresh: Prometheus) -> None:
    expected = dict.fromkeys(WELL, "red") | {"Differences": "orange", "Last audit": "orange"}
    expected |= {"Workers missing": "green", "Ready not ready": "green"}  # no worker is known
    assert colours(fresh) == expected
    fresh.wait_for("StreamDown", 60)
    assert fresh.firing() == {"StreamDown"}
    report("a new Prometheus, no worker", fresh)
