"""librdkafka's statistics: of a large document the few figures that matter, every few seconds."""

import threading
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import orjson
from prometheus_client import Counter

from stream.telemetry.lag import Fetched, Lag
from stream.telemetry.metrics import Metrics

STATISTICS_MS = 1_000  # how exact the lag is; a few kilobytes, parsed in well below 1 ms
CONNECTING_S = 5.0  # a client that was just made has no connection yet, and nothing is wrong
_MICRO = 1e-6
_BOOTSTRAP = -1  # a broker of the settings, whose own entry is another


class ClientStats:
    """Takes each client's document."""

    def __init__(
        self, metrics: Metrics, lag: Lag, input_topic: str, connected: Callable[[int], None]
    ) -> None:
        """`connected` is told to how many brokers the consumer is."""
        self._connected = connected
        self._lock = threading.Lock()
        self._lag = lag
        self._topic = input_topic
        self._counted: dict[tuple[str, str], float] = {}  # client, field -> what it last said
        self._counters: Mapping[str, Counter] = {
            "txerrs": metrics.client_errors,
            "rxerrs": metrics.client_errors,
            "txretries": metrics.client_retries,
            "req_timeouts": metrics.client_timeouts,
            "txbytes": metrics.client_sent,
            "rxbytes": metrics.client_received,
        }
        self._tables = {
            "rtt": metrics.client_rtt,
            "throttle": metrics.client_throttle,
            "up": metrics.client_brokers,
            "queue": metrics.client_queue,
        }

    def of(self, client: str) -> Callable[[str], None]:
        """Return the callback of a client; `client` is the label, `consumer` or `producer`."""

        def take(document: str) -> None:
            self._take(client, orjson.loads(document))

        return take

    def _take(self, client: str, found: Mapping[str, Any]) -> None:
        brokers = list(found.get("brokers", {}).values())
        known = [broker for broker in brokers if broker.get("nodeid", _BOOTSTRAP) != _BOOTSTRAP]
        partitions = found.get("topics", {}).get(self._topic, {}).get("partitions", {})
        figures = {
            "rtt": max((_of(b, "rtt", "p99") for b in known), default=0) * _MICRO,
            "throttle": max((_of(b, "throttle", "max") for b in known), default=0) / 1000,
            "up": sum(b.get("state") == "UP" for b in known),
            "queue": found.get("msg_cnt", 0) + sum(at.get("fetchq_cnt", 0) for at in partitions.values()),
        }
        with self._lock:
            for name, value in figures.items():
                table = self._tables[name]
                table.rows = {**table.rows, (client,): float(value)}
            for name, counter in self._counters.items():
                self._count(counter, client, name, float(sum(broker.get(name, 0) for broker in brokers)))
        if client == "consumer":
            up = sum(broker.get("state") == "UP" for broker in brokers)
            if up or found.get("age", inf) * _MICRO > CONNECTING_S:
                self._connected(up)
            self._follow(float(found["time"]), partitions)

    def _count(self, counter: Counter, client: str, name: str, total: float) -> None:
        """Add what was counted since; a client that was made anew begins at 0."""
        before = self._counted.get((client, name), 0.0)
        self._counted[client, name] = total
        counter.labels(client).inc(total - before if total >= before else total)

    def _follow(self, at_s: float, partitions: Mapping[str, Any]) -> None:
        for number, at in partitions.items():
            if int(number) >= 0:  # -1: those that no partition is known of yet
                known = Fetched(
                    at_s,
                    last_stable_offset=at["ls_offset"],
                    position=at["next_offset"],
                    queued=at["fetchq_cnt"],
                )
                self._lag.fetched(int(number), known)


def _of(broker: Mapping[str, Any], window: str, name: str) -> float:
    return float(broker.get(window, {}).get(name, 0))
