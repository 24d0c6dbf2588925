"""Kinds of metrics that prometheus_client does not have."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Row = tuple[str, ...]


class Table(Collector):
    """A gauge whose rows are replaced as a whole, or read at each scrape, so that old rows disappear.

    Attributes:
        rows: label values -> value; replaced, never changed.
        read: returns the rows at each scrape; by default `rows`.
    """

    def __init__(self, name: str, help_text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._help_text, self._labels = name, help_text, labels
        self.rows: Mapping[Row, float] = {}
        self.read: Callable[[], Mapping[Row, float]] = lambda: self.rows
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Describe the family without reading rows."""
        yield GaugeMetricFamily(self._name, self._help_text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._help_text, labels=self._labels)
        for labels, value in sorted(self.read().items()):
            family.add_metric(labels, value)
        yield family


class Sizes(Collector):
    """A histogram that observes many values in one call."""

    def __init__(
        self, name: str, help_text: str, bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._help_text, self._bounds = name, help_text, bounds
        self._counts, self._sum = [0] * (len(bounds) + 1), 0.0
        registry.register(self)

    def add(self, sizes: Sequence[float], weight: int = 1) -> None:
        """Observe sizes, each `weight` times."""
        for size in sizes:
            self._counts[bisect_left(self._bounds, size)] += weight
        self._sum += sum(sizes) * weight

    def describe(self) -> Iterator[Metric]:
        yield HistogramMetricFamily(self._name, self._help_text)

    def collect(self) -> Iterator[Metric]:
        names = [*map(str, map(float, self._bounds)), "+Inf"]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._help_text, buckets=buckets, sum_value=self._sum)
