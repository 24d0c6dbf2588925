"""What the watched ports measure; on stand-ins of one call each, for a batch's size is all that matters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.core.records import InputRecord
from stream.core.totals import Totals
from stream.errors import Abortable
from stream.ports import Batch, Checkpoint
from stream.telemetry.client_stats import ClientStats
from stream.telemetry.instrumented import SAMPLED_MAX, InstrumentedSink, InstrumentedSource, Instruments
from stream.telemetry.instrumented_stores import TOP, InstrumentedStores
from stream.telemetry.lag import Lag
from stream.telemetry.metrics import Metrics
from stream.testing.clock import FakeClock
from stream.testing.cluster import FakeCluster
from stream.testing.sink import FakeSink
from stream.testing.source import FakeSource
from stream.testing.stores import FakeStores


class Setting:
    def __init__(self) -> None:
        self.clock, self.metrics = FakeClock(), Metrics()
        self.lag = Lag(self.clock)
        self.watch = Instruments(self.metrics, self.lag, self.clock)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def setting() -> Setting:
    return Setting()


class Giving(FakeSource):
    """Gives batches, one by one."""

    def __init__(self, batches: Iterator[Batch], clock: FakeClock) -> None:
        super().__init__(FakeCluster(), "i", "g")
        self.batches = batches
        self.clock = clock

    def poll_batch(self, wait_s: float) -> Batch:
        self.clock.sleep(wait_s)
        return next(self.batches)


def record(partition: int, offset: int, size: int, stamp_ms: int = 0) -> InputRecord:
    return InputRecord("i", partition, offset, b"key", b"x" * size, (), stamp_ms)


def test_a_batch_is_measured_and_is_lag_until_it_is_committed(setting: Setting) -> None:
    stamp_ms = int((setting.clock.now() - 3) * 1000)
    records = [record(0, 7, 10, stamp_ms), record(0, 8, 70, stamp_ms + 1_000), record(1, 2, 20_000, stamp_ms)]
    sampled: list[None] = []
    source = InstrumentedSource(
        Giving(iter([Batch(records)]), setting.clock), setting.watch, lambda: sampled.append(None)
    )
    setting.lag.assigned([0, 1])
    for partition, position in ((0, 7), (1, 2)):
        setting.lag.restored(partition, position)
    source.poll_batch(2.0)
    assert sampled, "the stores are looked at by the loop's own thread"
    assert setting.value("stream_input_bytes_total") == 20_080 + 9
    assert setting.value("stream_blob_size_bytes_bucket", le="16.0") == 1
    assert setting.value("stream_blob_size_bytes_bucket", le="256.0") == 2
    assert setting.value("stream_blob_size_bytes_count") == 3
    assert setting.value("stream_lag_records", partition="0") == 2
    assert setting.value("stream_loop_seconds_total", activity="gather") == 2
    setting.watch.committed({0: 9, 1: 3})
    assert setting.value("stream_lag_records", partition="0") == 0
    assert setting.value("stream_latency_seconds_sum") == pytest.approx(5, abs=0.01), "the oldest: 3 s + 2 s"


def test_a_large_batch_is_sampled_and_scaled_up(setting: Setting) -> None:
    records = [record(at % 3, at // 3, 100) for at in range(30 * SAMPLED_MAX)]
    source = InstrumentedSource(Giving(iter([Batch(records)]), setting.clock), setting.watch, lambda: None)
    setting.lag.assigned([0, 1, 2])
    source.poll_batch(0)
    assert setting.value("stream_blob_size_bytes_count") == len(records)
    assert setting.value("stream_input_bytes_total") == 103 * len(records)


def test_a_commit_is_of_what_was_gathered_before_it_not_of_the_batch_that_follows(setting: Setting) -> None:
    now_ms = int(setting.clock.now() * 1000)
    batches = [Batch([record(0, at, 1, now_ms - 10_000 + at * 1_000)]) for at in range(2)]
    source = InstrumentedSource(Giving(iter(batches), setting.clock), setting.watch, lambda: None)
    setting.lag.assigned([0])
    setting.lag.restored(0, 0)
    source.poll_batch(0)
    source.poll_batch(0)
    setting.watch.committed({0: 1})
    assert setting.value("stream_latency_seconds_count") == 1
    assert setting.value("stream_latency_seconds_sum") == pytest.approx(10)
    assert setting.value("stream_lag_seconds", partition="0") == pytest.approx(10), "the second waits"
    setting.watch.committed({0: 2})
    assert setting.value("stream_latency_seconds_sum") == pytest.approx(19)


def test_what_a_commit_left_out_and_an_abort_undid_counts_when_it_came_again(setting: Setting) -> None:
    now_ms = int(setting.clock.now() * 1000)
    ages_s = (10, 8, 4)
    records = [record(0, at, 1, now_ms - age_s * 1_000) for at, age_s in enumerate(ages_s)]
    source = InstrumentedSource(
        Giving(iter([Batch([*records]), Batch(records[1:]), Batch(records[1:])]), setting.clock),
        setting.watch,
        lambda: None,
    )
    setting.lag.assigned([0])
    setting.lag.restored(0, 0)
    source.poll_batch(0)
    setting.watch.committed({0: 1})  # for want of time
    source.rewind({0: 1})
    assert setting.value("stream_latency_seconds_sum") == pytest.approx(10)
    assert setting.value("stream_lag_seconds", partition="0") == pytest.approx(10), "of the last that is done"
    source.poll_batch(0)
    source.rewind({0: 1})  # aborted
    source.poll_batch(0)
    setting.watch.committed({0: 3})
    assert setting.value("stream_latency_seconds_count") == 2
    assert setting.value("stream_latency_seconds_sum") == pytest.approx(10 + 8)
    assert setting.value("stream_lag_records", partition="0") == 0


def test_the_steps_of_a_transaction_are_measured_and_its_age_told(setting: Setting) -> None:
    class Slow(FakeSink):
        def commit(self) -> dict[int, int]:
            setting.clock.sleep(0.5)
            raise Abortable("no")

        def abort(self) -> None:
            setting.clock.sleep(0.25)

        def begin(self) -> None: ...

        def produce(self, _: object) -> None:
            setting.clock.sleep(0.5)

        def produce_changelog(self, *_: Any) -> None:
            setting.clock.sleep(0.25)

        def send_offsets(self, *_: Any) -> None: ...

    sink = InstrumentedSink(Slow.__new__(Slow), setting.watch)
    assert setting.value("stream_open_transaction_age_seconds") == 0
    sink.begin()
    for _ in range(2):
        setting.clock.sleep(10)  # a step is counted
        sink.produce([])
    sink.produce_changelog(0, {}, [])
    assert setting.value("stream_open_transaction_age_seconds") == 21.25
    sink.send_offsets({}, None)
    with pytest.raises(Abortable):
        sink.commit()
    sink.abort()
    assert setting.value("stream_open_transaction_age_seconds") == 0
    assert setting.value("stream_batch_phase_seconds_sum", phase="produce") == 1.25
    assert setting.value("stream_batch_phase_seconds_sum", phase="abort") == 0.25
    assert setting.value("stream_batch_phase_seconds_count", phase="commit") == 0, "it did not end"


def test_stores_tell_of_their_size_and_of_the_greatest_totals(setting: Setting, tmp_path: Path) -> None:
    stores = InstrumentedStores(FakeStores(), setting.watch, tmp_path)
    first, second = stores.open(0), stores.open(1)
    first.write({b"act": b"1"}, Checkpoint(1, 1))
    signatures = [b"s%02d" % n for n in range(50)]
    half = [(key, b"%d" % (at + 1)) for at, key in enumerate(signatures[:25])]
    totals = {0: Totals(signatures, half), 1: Totals(signatures, [(b"s03", b"1000")])}
    stores.totals = lambda: {1: totals[1]}
    stores.sample()
    assert setting.value("stream_store_keys", partition="0") == 1, "the store's own estimate"
    assert setting.value("stream_store_keys", partition="1") == 1
    stores.totals = lambda: totals
    setting.clock.sleep(10)
    stores.sample()
    assert setting.value("stream_store_keys", partition="0") == 25
    assert setting.value("stream_top_signature_words", signature="s03") == 1_004
    assert setting.value("stream_top_signature_words", signature="s24") == 25
    assert len(setting.metrics.top_signatures.rows) == TOP
    assert (setting.value("stream_state_disk_free_bytes") or 0) > 0
    second.close()
    setting.clock.sleep(10)
    stores.sample()
    assert setting.value("stream_store_keys", partition="1") is None, "a store that went is gone"


def test_a_folder_that_was_deleted_stops_nobody(setting: Setting, tmp_path: Path) -> None:
    stores = InstrumentedStores(FakeStores(), setting.watch, tmp_path / "gone")
    stores.open(0)
    stores.sample()
    assert setting.value("stream_store_keys", partition="0") == 0


def document(**broker: float) -> str:
    known = {"nodeid": 1, "state": "UP", "rtt": {"p99": 2_500}, "throttle": {"max": 40}, **broker}
    at = {"ls_offset": 9, "next_offset": 9, "fetchq_cnt": 0}
    found = {
        "time": 1_700_001_100,
        "msg_cnt": 4,
        "brokers": {"b:1/1": known, "b:1/bootstrap": {"nodeid": -1, "state": "UP"}},
        "topics": {"i": {"partitions": {"0": at, "-1": at}}},
    }
    return orjson.dumps(found).decode()


def test_of_librdkafkas_statistics_what_matters_is_taken(setting: Setting) -> None:
    brokers: list[int] = []
    take = ClientStats(setting.metrics, setting.lag, "i", brokers.append).of("consumer")
    setting.lag.assigned([0])
    setting.lag.restored(0, 8)
    take(document(txbytes=100, rxerrs=2))
    take(document(txbytes=150, rxerrs=2))
    take(document(txbytes=30, rxerrs=0))  # a client that was made anew
    assert setting.value("stream_client_sent_bytes_total", client="consumer") == 180
    assert setting.value("stream_client_errors_total", client="consumer") == 2
    assert setting.value("stream_client_rtt_seconds", client="consumer") == 0.0025
    assert setting.value("stream_client_throttle_seconds", client="consumer") == 0.04
    assert setting.value("stream_client_queue_records", client="consumer") == 4
    assert setting.value("stream_client_brokers_up", client="consumer") == 1
    assert setting.value("stream_lag_records", partition="0") == 0, "fetched, none queued: a marker is left"
    take('{"time": 1}')  # what is not there does no harm
    assert brokers == [2, 2, 2, 0]
    take('{"time": 1, "age": 1000}')
    assert brokers == [2, 2, 2, 0], "it was just made"
    take('{"time": 1, "age": 6000000}')
    assert brokers == [2, 2, 2, 0, 0]
