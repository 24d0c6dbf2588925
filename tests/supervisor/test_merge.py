from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from stream.supervisor.merge import NO_PARTITION, Probed, all_live, all_ready, all_started, merged
from stream.telemetry.health import Health


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


class Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> list[Metric]:
        return self.families


def both() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Given(list(merged({"0": exposition(3), "1": exposition(4, "null-value")}))))
    return registry


def test_every_sample_has_the_label_of_its_process() -> None:
    registry = both()
    assert registry.get_sample_value("stream_records_total", {"process": "0"}) == 3
    assert registry.get_sample_value("stream_records_total", {"process": "1"}) == 4
    assert registry.get_sample_value("stream_letters_total", {"process": "1", "reason": "null-value"}) == 1
    assert registry.get_sample_value("stream_letters_total", {"process": "0", "reason": "null-value"}) is None
    for family in registry.collect():
        assert all("process" in sample.labels for sample in family.samples)


def test_a_family_is_described_once() -> None:
    text = generate_latest(both()).decode()
    for kind in ("HELP", "TYPE"):
        named = [line.split()[2] for line in text.splitlines() if line.startswith(f"# {kind} ")]
        assert len(named) == len(set(named))
    assert "# TYPE stream_records_total counter" in text
    assert "# TYPE stream_phase_seconds histogram" in text
    assert "# TYPE stream_build_info gauge" in text


def test_what_comes_out_is_read_again_in_both_formats() -> None:
    again = merged({"x": as_openmetrics(both())})
    assert {family.name for family in again} == {
        "stream_records", "stream_letters", "stream_lag_seconds", "stream_build", "stream_phase_seconds"
    }  # fmt: skip
    text = generate_latest(both()).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["stream_lag_seconds"].documentation == 'A "lag"\nof two lines \\.'
    assert families["stream_phase_seconds"].type == "histogram"


def test_an_exemplar_stays_with_its_bucket() -> None:
    assert as_openmetrics(both()).count('# {trace="x"} 1.5') == 2


def probed(*, ok: bool, **body: object) -> Probed:
    return Probed(ok, body)


def test_started_and_live_when_all_are() -> None:
    yes, no = probed(ok=True), probed(ok=False)
    for of_all in (all_started, all_live):
        assert of_all({"0": yes, "1": yes}).ok
        assert not of_all({"0": yes, "1": no}).ok
        assert not of_all({"0": yes, "1": None}).ok
        assert not of_all({}).ok
        told = of_all({"0": yes, "1": probed(ok=False, reason="it hangs")})
        assert told.body["reasons"] == ["process 1: it hangs"]


def test_ready_when_all_are_and_says_of_each_why_not() -> None:
    ready = probed(ok=True, ready=True, reasons=[])
    restoring = probed(ok=False, ready=False, reasons=["x", "y"])
    assert all_ready({"0": ready, "1": ready}) == Probed(
        True, {"ready": True, "reasons": [], "processes": {"0": ready.body, "1": ready.body}}
    )
    answer = all_ready({"0": ready, "1": restoring, "2": None})
    assert not answer.ok
    assert answer.body["reasons"] == ["process 1: x", "process 1: y", "process 2: does not answer"]
    assert answer.body["processes"]["1"] == restoring.body
    assert all_ready({}).body["reasons"] == ["starting"]


def test_a_spare_is_no_reason_not_to_be_ready_where_another_process_is() -> None:
    health = Health(started=True)
    assert health.reasons_not_ready() == [NO_PARTITION], "else a spare is not known as one"
    spare = probed(ok=False, ready=False, reasons=health.reasons_not_ready())
    assert all_ready({"0": spare, "1": probed(ok=True, ready=True, reasons=[])}).ok
    assert not all_ready({"0": spare, "1": spare}).ok
    assert not all_ready({"0": spare, "1": None}).ok
