"""The instrumented ports, measured on stubs; only the size of a batch matters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.core.columns import Outputs
from stream.core.evidence import Appended
from stream.core.records import InputRecord
from stream.core.totals import SignatureTotals
from stream.errors import Abortable
from stream.ports import Batch, Checkpoint
from stream.telemetry.client_stats import ClientStats
from stream.telemetry.instrumented import (
    SAMPLE_RECORDS_MAX,
    InstrumentedSink,
    InstrumentedSource,
    Instruments,
)
from stream.telemetry.instrumented_stores import InstrumentedStores
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics
from stream.testing.clock import FakeClock
from stream.testing.cluster import FakeCluster
from stream.testing.sink import FakeSink
from stream.testing.source import FakeSource
from stream.testing.stores import FakeStores


class Measured:
    def __init__(self) -> None:
        self.clock, self.metrics = FakeClock(), Metrics()
        self.lag = Lag(self.clock)
        self.instruments = Instruments(self.metrics, self.lag, self.clock)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def measured() -> Measured:
    return Measured()


class ScriptedSource(FakeSource):
    """Returns prepared batches, one per poll."""

    def __init__(self, batches: Iterator[Batch], clock: FakeClock) -> None:
        super().__init__(FakeCluster(), "i", "g")
        self.batches = batches
        self.clock = clock

    def poll_batch(self, wait_s: float) -> Batch:
        self.clock.sleep(wait_s)
        return next(self.batches)


def record(partition: int, offset: int, size: int, timestamp_ms: int = 0) -> InputRecord:
    return InputRecord("i", partition, offset, b"key", b"x" * size, (), timestamp_ms)


def test_a_polled_batch_is_measured_and_is_lag_until_it_is_committed(measured: Measured) -> None:
    timestamp_ms = int((measured.clock.now() - 3) * 1000)
    records = [
        record(0, 7, 10, timestamp_ms),
        record(0, 8, 70, timestamp_ms + 1_000),
        record(1, 2, 20_000, timestamp_ms),
    ]
    sampled: list[None] = []
    source = InstrumentedSource(
        ScriptedSource(iter([Batch.of(records)]), measured.clock),
        measured.instruments,
        lambda: sampled.append(None),
    )
    measured.lag.assigned([0, 1])
    for partition, position in ((0, 7), (1, 2)):
        measured.lag.restored(partition, position)
    source.poll_batch(2.0)
    assert sampled, "the stores are sampled in the loop's thread"
    assert measured.value("stream_input_bytes_total") == 20_080 + 9
    assert measured.value("stream_blob_size_bytes_bucket", le="16.0") == 1
    assert measured.value("stream_blob_size_bytes_bucket", le="256.0") == 2
    assert measured.value("stream_blob_size_bytes_count") == 3
    assert measured.value("stream_lag_records", partition="0") == 2
    assert measured.value("stream_loop_seconds_total", activity="gather") == 2
    measured.instruments.committed({0: 9, 1: 3})
    assert measured.value("stream_lag_records", partition="0") == 0
    assert measured.value("stream_latency_seconds_sum") == pytest.approx(5, abs=0.01), "the oldest: 3 s + 2 s"


def test_a_large_batch_is_sampled_and_scaled_up(measured: Measured) -> None:
    records = [record(n % 3, n // 3, 100) for n in range(30 * SAMPLE_RECORDS_MAX)]
    source = InstrumentedSource(
        ScriptedSource(iter([Batch.of(records)]), measured.clock), measured.instruments, lambda: None
    )
    measured.lag.assigned([0, 1, 2])
    source.poll_batch(0)
    assert measured.value("stream_blob_size_bytes_count") == pytest.approx(len(records), rel=0.01)
    assert measured.value("stream_input_bytes_total") == pytest.approx(103 * len(records), rel=0.01)


def test_records_that_are_polled_again_are_measured_when_they_are_committed(measured: Measured) -> None:
    now_ms = int(measured.clock.now() * 1000)
    ages_s = (10, 8, 4)
    records = [record(0, offset, 1, now_ms - age_s * 1_000) for offset, age_s in enumerate(ages_s)]
    source = InstrumentedSource(
        ScriptedSource(
            iter([Batch.of(records), Batch.of(records[1:]), Batch.of(records[1:])]), measured.clock
        ),
        measured.instruments,
        lambda: None,
    )
    measured.lag.assigned([0])
    measured.lag.restored(0, 0)
    source.poll_batch(0)
    measured.instruments.committed({0: 1})  # the deadline left the others unprocessed
    source.rewind({0: 1})
    assert measured.value("stream_latency_seconds_sum") == pytest.approx(10)
    assert measured.value("stream_lag_seconds", partition="0") == pytest.approx(10), (
        "since the last committed record"
    )
    source.poll_batch(0)
    source.rewind({0: 1})  # after an abort
    source.poll_batch(0)
    measured.instruments.committed({0: 3})
    assert measured.value("stream_latency_seconds_count") == 2
    assert measured.value("stream_latency_seconds_sum") == pytest.approx(10 + 8)
    assert measured.value("stream_lag_records", partition="0") == 0


def test_the_phases_and_the_age_of_a_transaction_are_measured(measured: Measured) -> None:
    class Slow(FakeSink):
        def commit(self) -> None:
            measured.clock.sleep(0.5)
            raise Abortable("no")

        def abort(self) -> None:
            measured.clock.sleep(0.25)

        def begin(self) -> None: ...

        def produce(self, _: object) -> None:
            measured.clock.sleep(0.5)

        def produce_changelog(self, *_: Any) -> None:
            measured.clock.sleep(0.25)

        def flush(self) -> dict[int, dict[str, Appended]]:
            measured.clock.sleep(0.125)
            return {}

        def send_offsets(self, *_: Any) -> None: ...

    slow = Slow.__new__(Slow)
    slow.topic_ids = {}
    sink = InstrumentedSink(slow, measured.instruments)
    assert measured.value("stream_open_transaction_age_seconds") == 0
    sink.begin()
    for _ in range(2):
        measured.clock.sleep(10)  # a chunk is processed
        sink.produce(Outputs.of(()))
    sink.produce_changelog(0, {}, [])
    assert measured.value("stream_open_transaction_age_seconds") == 21.25
    sink.flush()
    sink.send_offsets({}, None)
    with pytest.raises(Abortable):
        sink.commit()
    sink.abort()
    assert measured.value("stream_open_transaction_age_seconds") == 0
    assert measured.value("stream_batch_phase_seconds_sum", phase="produce") == 1.25
    assert measured.value("stream_batch_phase_seconds_sum", phase="flush") == 0.125
    assert measured.value("stream_batch_phase_seconds_sum", phase="abort") == 0.25
    assert measured.value("stream_batch_phase_seconds_count", phase="commit") == 0, "it did not succeed"


def test_sizes_of_stores_are_measured(measured: Measured, tmp_path: Path) -> None:
    in_memory: dict[int, SignatureTotals] = {}
    stores = InstrumentedStores(FakeStores(), measured.instruments, tmp_path, lambda: in_memory)
    first, second = stores.open(0), stores.open(1)
    first.write({b"act": b"1"}, Checkpoint(1, 1))
    signatures = [b"s%02d" % n for n in range(50)]
    half = [(key, b"%d" % number) for number, key in enumerate(signatures[:25], 1)]
    totals = {0: SignatureTotals(signatures, half), 1: SignatureTotals(signatures, [(b"s03", b"1000")])}
    in_memory[1] = totals[1]
    stores.sample()
    assert measured.value("stream_store_keys", partition="0") == 1, "the store's own estimate"
    assert measured.value("stream_store_keys", partition="1") == 1
    in_memory |= totals
    measured.clock.sleep(10)
    stores.sample()
    assert measured.value("stream_store_keys", partition="0") == 25
    assert (measured.value("stream_state_disk_free_bytes") or 0) > 0
    second.close()
    measured.clock.sleep(10)
    stores.sample()
    assert measured.value("stream_store_keys", partition="1") is None, "a closed store has no metrics"


def test_a_deleted_folder_does_not_stop_sampling(measured: Measured, tmp_path: Path) -> None:
    stores = InstrumentedStores(FakeStores(), measured.instruments, tmp_path / "gone")
    stores.open(0)
    stores.sample()
    assert measured.value("stream_store_keys", partition="0") == 0


def document(**broker: float) -> str:
    connected = {"nodeid": 1, "state": "UP", "rtt": {"p99": 2_500}, "throttle": {"max": 40}, **broker}
    partition = {"ls_offset": 9, "next_offset": 9, "fetchq_cnt": 0}
    statistics = {
        "time": 1_700_001_100,
        "msg_cnt": 4,
        "brokers": {"b:1/1": connected, "b:1/bootstrap": {"nodeid": -1, "state": "UP"}},
        "topics": {"i": {"partitions": {"0": partition, "-1": partition}}},
    }
    return orjson.dumps(statistics).decode()


def test_statistics_of_librdkafka_update_metrics_lag_and_connection(measured: Measured) -> None:
    brokers: list[int] = []
    update = ClientStats(measured.metrics, measured.lag, "i", brokers.append).callback_for("consumer")
    measured.lag.assigned([0])
    measured.lag.restored(0, 8)
    update(document(txbytes=100, rxerrs=2))
    update(document(txbytes=150, rxerrs=2))
    update(document(txbytes=30, rxerrs=0))  # a new client
    assert measured.value("stream_client_sent_bytes_total", client="consumer") == 180
    assert measured.value("stream_client_errors_total", client="consumer") == 2
    assert measured.value("stream_client_rtt_seconds", client="consumer") == 0.0025
    assert measured.value("stream_client_throttle_seconds", client="consumer") == 0.04
    assert measured.value("stream_client_queue_records", client="consumer") == 4
    assert measured.value("stream_client_brokers_up", client="consumer") == 1
    assert measured.value("stream_lag_records", partition="0") == 0, (
        "all is fetched and nothing queued, so only a commit marker remains"
    )
    update('{"time": 1}')  # missing fields are ignored
    assert brokers == [2, 2, 2, 0]
    update('{"time": 1, "age": 1000}')
    assert brokers == [2, 2, 2, 0], "the client may still be connecting"
    update('{"time": 1, "age": 6000000}')
    assert brokers == [2, 2, 2, 0, 0]
