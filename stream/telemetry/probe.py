"""Probes a worker that another process started; the address of its probes is in its log."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson


def is_ready(log: Path) -> bool:
    """Return whether a worker on this machine is ready; its log lines are JSON. False if it is starting."""
    lines = log.read_bytes().splitlines()
    entries = [orjson.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]
    address = next((entry["address"] for entry in entries if _has_address(entry)), None)
    if address is None:
        return False
    try:
        with urlopen(f"{address}/healthz/ready", timeout=5):  # noqa: S310 - our own child process
            return True
    except OSError:  # 503: not ready
        return False


def _has_address(entry: Mapping[str, Any]) -> bool:
    """Whether a log line has the address of the probes; the private ones of a process are excluded."""
    return entry.get("event") == "telemetry listens" and "process" not in entry
