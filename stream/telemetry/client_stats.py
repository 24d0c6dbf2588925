"""Extracts a few figures from librdkafka's statistics, a large document every second."""

import threading
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import orjson
from prometheus_client import Counter

from stream.telemetry.lag import ClientPosition, Lag
from stream.telemetry.metrics import Metrics

STATISTICS_MS = 1_000  # resolution of the lag; a few kilobytes, parsed in well below 1 ms
CONNECTING_S = 5.0  # a client younger than this may have no connection yet
_MICRO = 1e-6
_BOOTSTRAP = -1  # node id of a bootstrap address; the broker behind it has its own entry


class ClientStats:
    """Updates metrics, the lag and the connection state from the statistics of all clients."""

    def __init__(
        self, metrics: Metrics, lag: Lag, input_topic: str, on_connected: Callable[[int], None]
    ) -> None:
        """`on_connected` receives the number of brokers that the consumer is connected to."""
        self._on_connected = on_connected
        self._lock = threading.Lock()
        self._lag = lag
        self._topic = input_topic
        self._counted: dict[tuple[str, str], float] = {}  # (client, field) -> its last value
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

    def callback_for(self, client: str) -> Callable[[str], None]:
        """Return the statistics callback of a client; `client` is the label, `consumer` or `producer`."""

        def update(document: str) -> None:
            self._update(client, orjson.loads(document))

        return update

    def _update(self, client: str, stats: Mapping[str, Any]) -> None:
        addresses = list(stats.get("brokers", {}).values())
        brokers = [address for address in addresses if address.get("nodeid", _BOOTSTRAP) != _BOOTSTRAP]
        partitions = stats.get("topics", {}).get(self._topic, {}).get("partitions", {})
        fetched = sum(partition.get("fetchq_cnt", 0) for partition in partitions.values())
        figures = {
            "rtt": max((_in_window(b, "rtt", "p99") for b in brokers), default=0) * _MICRO,
            "throttle": max((_in_window(b, "throttle", "max") for b in brokers), default=0) / 1000,
            "up": sum(b.get("state") == "UP" for b in brokers),
            "queue": stats.get("msg_cnt", 0) + fetched,
        }
        with self._lock:
            for name, value in figures.items():
                table = self._tables[name]
                table.rows = {**table.rows, (client,): float(value)}
            for name, counter in self._counters.items():
                total = float(sum(address.get(name, 0) for address in addresses))
                self._count(counter, client, name, total)
        if client == "consumer":
            up = sum(address.get("state") == "UP" for address in addresses)
            if up or stats.get("age", inf) * _MICRO > CONNECTING_S:
                self._on_connected(up)
            self._update_lag(float(stats["time"]), partitions)

    def _count(self, counter: Counter, client: str, name: str, total: float) -> None:
        """Add the increase since the last document; a new client starts over at 0."""
        before = self._counted.get((client, name), 0.0)
        self._counted[client, name] = total
        counter.labels(client).inc(total - before if total >= before else total)

    def _update_lag(self, at_s: float, partitions: Mapping[str, Any]) -> None:
        for number, partition in partitions.items():
            if int(number) >= 0:  # -1 is librdkafka's queue for records without a known partition
                position = ClientPosition(
                    at_s,
                    last_stable_offset=partition["ls_offset"],
                    position=partition["next_offset"],
                    queued=partition["fetchq_cnt"],
                )
                self._lag.update_from_client(int(number), position)


def _in_window(broker: Mapping[str, Any], window: str, name: str) -> float:
    return float(broker.get(window, {}).get(name, 0))
