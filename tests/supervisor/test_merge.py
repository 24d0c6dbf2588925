from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from stream.supervisor.merge import (
    ProbeAnswer,
    all_live,
    all_ready,
    all_started,
    merge_expositions,
)
from stream.telemetry.health import NO_PARTITION, Health


def exposition(records: int, reason: str = "bad-json") -> str:
    registry = CollectorRegistry()
    Counter("stream_records_total", "Records.", registry=registry).inc(records)
    Counter("stream_letters_total", "By reason.", ["reason"], registry=registry).labels(reason).inc()
    Gauge("stream_lag_seconds", 'A "lag"\nof two lines \\.', registry=registry).set(1.5)
    Info("stream_build", "What runs.", registry=registry).info({"version": "1"})
    histogram = Histogram("stream_phase_seconds", "Phases.", buckets=(1, 2), registry=registry)
    histogram.observe(1.5, {"trace": "x"})
    return as_openmetrics(registry)


def as_openmetrics(registry: CollectorRegistry) -> str:
    return str(openmetrics.generate_latest(registry).decode())  # type: ignore[no-untyped-call]


class FixedCollector(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> list[Metric]:
        return self.families


def merged_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    merged = merge_expositions({"0": exposition(3), "1": exposition(4, "null-value")})
    registry.register(FixedCollector(list(merged)))
    return registry


def test_every_sample_is_labelled_with_its_process() -> None:
    registry = merged_registry()
    assert registry.get_sample_value("stream_records_total", {"process": "0"}) == 3
    assert registry.get_sample_value("stream_records_total", {"process": "1"}) == 4
    assert registry.get_sample_value("stream_letters_total", {"process": "1", "reason": "null-value"}) == 1
    assert registry.get_sample_value("stream_letters_total", {"process": "0", "reason": "null-value"}) is None
    for family in registry.collect():
        assert all("process" in sample.labels for sample in family.samples)


def test_a_family_is_described_once() -> None:
    text = generate_latest(merged_registry()).decode()
    for kind in ("HELP", "TYPE"):
        named = [line.split()[2] for line in text.splitlines() if line.startswith(f"# {kind} ")]
        assert len(named) == len(set(named))
    assert "# TYPE stream_records_total counter" in text
    assert "# TYPE stream_phase_seconds histogram" in text
    assert "# TYPE stream_build_info gauge" in text


def test_merged_metrics_parse_in_both_formats() -> None:
    families_again = merge_expositions({"x": as_openmetrics(merged_registry())})
    assert {family.name for family in families_again} == {
        "stream_records", "stream_letters", "stream_lag_seconds", "stream_build", "stream_phase_seconds"
    }  # fmt: skip
    text = generate_latest(merged_registry()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["stream_lag_seconds"].documentation == 'A "lag"\nof two lines \\.'
    assert families["stream_phase_seconds"].type == "histogram"


def test_an_exemplar_stays_with_its_bucket() -> None:
    assert as_openmetrics(merged_registry()).count('# {trace="x"} 1.5') == 2


def answer(*, ok: bool, **body: object) -> ProbeAnswer:
    return ProbeAnswer(ok, body)


def test_the_worker_is_started_or_live_if_every_process_is() -> None:
    yes, no = answer(ok=True), answer(ok=False)
    for merge in (all_started, all_live):
        assert merge({"0": yes, "1": yes}).ok
        assert not merge({"0": yes, "1": no}).ok
        assert not merge({"0": yes, "1": None}).ok
        assert not merge({}).ok
        merged = merge({"0": yes, "1": answer(ok=False, reason="it hangs")})
        assert merged.body["reasons"] == ["process 1: it hangs"]


def test_the_worker_is_ready_if_every_process_is_and_gives_each_reason_otherwise() -> None:
    ready = answer(ok=True, ready=True, reasons=[])
    restoring = answer(ok=False, ready=False, reasons=["x", "y"])
    assert all_ready({"0": ready, "1": ready}) == ProbeAnswer(
        True, {"ready": True, "reasons": [], "processes": {"0": ready.body, "1": ready.body}}
    )
    merged = all_ready({"0": ready, "1": restoring, "2": None})
    assert not merged.ok
    assert merged.body["reasons"] == ["process 1: x", "process 1: y", "process 2: does not respond"]
    assert merged.body["processes"]["1"] == restoring.body
    assert all_ready({}).body["reasons"] == ["starting"]


def test_a_spare_process_does_not_prevent_readiness_beside_a_ready_one() -> None:
    health = Health(started=True)
    assert health.reasons_not_ready() == [NO_PARTITION], "the merge recognizes a spare process by this reason"
    spare = answer(ok=False, ready=False, reasons=health.reasons_not_ready())
    assert all_ready({"0": spare, "1": answer(ok=True, ready=True, reasons=[])}).ok
    none_owned = all_ready({"0": spare, "1": spare})
    assert not none_owned.ok
    assert none_owned.body["reasons"] == [f"process 0: {NO_PARTITION}", f"process 1: {NO_PARTITION}"]
    assert not all_ready({"0": spare, "1": None}).ok
