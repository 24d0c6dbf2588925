"""Whether a worker that somebody started is ready: its log says where its probes are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson


def is_ready(log: Path) -> bool:
    """Ask a worker on this machine, whose log lines are JSON; False, too, where it has not said yet."""
    lines = log.read_bytes().splitlines()
    entries = [orjson.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]
    address = next((entry["address"] for entry in entries if _names_address(entry)), None)
    if address is None:
        return False
    try:
        with urlopen(f"{address}/healthz/ready", timeout=5):  # noqa: S310 - our own child's
            return True
    except OSError:  # not ready is 503
        return False


def _names_address(entry: Mapping[str, Any]) -> bool:
    """Whether a log line says where the probes are; those of one process of several are not meant."""
    return entry.get("event") == "telemetry listens" and "process" not in entry
