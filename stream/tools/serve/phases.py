"""Reads the time that workers spent in each phase of a batch, from their metrics."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

_SUM = "stream_batch_phase_seconds_sum"
_S_MAX = 2.0


def read_phases(urls: Sequence[str]) -> Mapping[str, float]:
    """Return phase -> seconds, summed over the workers that respond."""
    seconds = defaultdict[str, float](float)
    for url in urls:
        try:
            with urlopen(f"{url.rstrip('/')}/metrics", timeout=_S_MAX) as response:  # noqa: S310 - of the operator
                text = response.read().decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name == _SUM:
                        seconds[sample.labels.get("phase", "?")] += sample.value
        except (URLError, OSError, ValueError):
            continue
    return seconds
