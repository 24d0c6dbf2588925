"""Metrics and probes of a real worker on a real broker."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from support.environment import own_env
from support.process import WorkerProcess
from support.stranger import PROTOCOLS, Stranger
from support.topics import make_topics, produce, read, settings_of, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.kafka.clients import reader_options
from stream.kafka.offsets_poller import group_offsets
from stream.telemetry.health import NO_PARTITION

pytestmark = pytest.mark.broker


def address(worker: WorkerProcess) -> str:
    worker.wait_for("telemetry listens")
    return str(worker.events("telemetry listens")[-1]["address"])


def samples(worker: WorkerProcess, name: str) -> dict[str, float]:
    with urlopen(f"{address(worker)}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        ",".join(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def probe(worker: WorkerProcess, name: str) -> tuple[int, Any]:
    try:
        with urlopen(f"{address(worker)}/healthz/{name}", timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def produce_in_transactions(env: Mapping[str, str], transactions: int, *, abort_last: bool) -> None:
    """Leave commit markers, and aborted records, after the last record of each partition."""
    producer = Producer(
        {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "transactional.id": env["STREAM_GROUP_ID"]}
    )
    producer.init_transactions(30)
    for number in range(transactions):
        producer.begin_transaction()
        for partition in (0, 1):
            for _ in range(50):
                producer.produce(env["STREAM_INPUT_TOPIC"], "listen silent cat", partition=partition)
        producer.flush(30)
        if abort_last and number == transactions - 1:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)


def test_lag_of_an_idle_worker_is_0_although_markers_and_aborted_records_take_offsets(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        produce_in_transactions(stream_env, 3, abort_last=True)
        wait_until(lambda: len(read(stream_env, "result")) == 200, 30)
        wait_until(lambda: samples(worker, "stream_lag_records") == {"0": 0.0, "1": 0.0}, 10)
        assert samples(worker, "stream_lag_seconds") == {"0": 0.0, "1": 0.0}
        assert probe(worker, "ready")[0] == 200
        worker.stop()
    with WorkerProcess(stream_env, tmp_path / "again") as worker:  # starts at the markers
        worker.wait_for("partition running", times=2)
        wait_until(lambda: samples(worker, "stream_lag_records") == {"0": 0.0, "1": 0.0}, 10)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_lag_of_a_partition_that_a_stranger_owns_is_a_metric(
    protocol: str, stream_env: dict[str, str], tmp_path: Path
) -> None:
    env = {**stream_env, "STREAM_GROUP_PROTOCOL": protocol}
    stalled = "stream_group_lag_stalled_seconds"
    with WorkerProcess(env, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        with Stranger(env, protocol) as stranger:
            wait_until(lambda: samples(worker, "stream_assigned_partitions")[""] == 1, 40)
            wait_until(lambda: len(stranger.partitions) == 1, 40)
            foreign = stranger.partitions[0]
            own = str(1 - foreign)
            for partition in (0, 1):
                produce(env, [(None, "cat")] * 50, partition=partition)
            lag = {str(foreign): 50.0, own: 0.0}
            wait_until(lambda: samples(worker, "stream_group_lag_records") == lag, 30)
            assert samples(worker, "stream_lag_records") == {own: 0.0}
            assert probe(worker, "ready")[0] == 200
            wait_until(lambda: samples(worker, stalled)[str(foreign)] > 9, 30)
            assert samples(worker, stalled)[own] == 0
        wait_until(lambda: samples(worker, "stream_group_lag_records") == {"0": 0.0, "1": 0.0}, 40)
        assert samples(worker, stalled) == {"0": 0.0, "1": 0.0}


def test_a_worker_without_a_partition_is_not_ready_and_exports_the_lag_of_the_group(
    bare_env: dict[str, str], tmp_path: Path
) -> None:
    """The stranger joined first, owns the only partition, and commits input that nobody counts."""
    env = make_topics(bare_env, partitions=1)
    topic, options = env["STREAM_INPUT_TOPIC"], reader_options(settings_of(env))
    with Stranger(env, commits=True) as stranger:
        wait_until(lambda: stranger.partitions == [0], 30)
        with WorkerProcess(env, tmp_path / "log") as worker:
            worker.wait_for("worker started")
            wait_until(lambda: samples(worker, "stream_group_lag_records") == {"0": 0.0}, 30)
            status, body = probe(worker, "ready")
            assert (status, body["reasons"]) == (503, [NO_PARTITION])
            produce(env, [(None, "cat")] * 50)
            wait_until(
                lambda: [each.offset for each in group_offsets(options, topic, [0]).values()] == [50], 30
            )
            wait_until(lambda: samples(worker, "stream_group_lag_records") == {"0": 50.0}, 30)


def test_probes_report_a_restore_until_it_ends(stream_env: dict[str, str], tmp_path: Path) -> None:
    """The restore waits for an open transaction in the changelog."""
    options = {"transactional.id": "open-" + stream_env["STREAM_GROUP_ID"], "transaction.timeout.ms": 60_000}
    producer = Producer({"bootstrap.servers": stream_env["STREAM_BOOTSTRAP_SERVERS"], **options})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(stream_env["STREAM_COUNT_TOPIC"], b"1", b"act", partition=0)
    producer.flush(30)
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        worker.wait_for("partition running")
        status, body = probe(worker, "started")
        assert (status, body["joined"], body["restore_remaining_offsets"] >= 0) == (503, True, True)
        assert [restore["partition"] for restore in body["restoring"]] == [0]
        assert probe(worker, "ready")[0] == 503
        assert samples(worker, "stream_paused_partitions")["restoring"] == 1
        producer.abort_transaction(30)
        wait_until(lambda: probe(worker, "ready")[0] == 200, 30)
        assert probe(worker, "started")[0] == 200


@pytest.mark.embedded
def test_a_worker_without_a_broker_is_live_and_not_ready(tmp_path: Path) -> None:
    with EmbeddedBroker(heap_mib=512) as broker:
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)
        with WorkerProcess({**env, "STREAM_PROCESSES": "1"}, tmp_path / "log") as worker:
            worker.wait_for("partition running", times=2)
            broker.kill()  # while the worker is idle
            wait_until(lambda: probe(worker, "ready")[0] == 503, 20)
            assert samples(worker, "stream_broker_away") == {"": 1.0}
            assert probe(worker, "live")[0] == 200, "a waiting worker does not hang"
            broker.start()
            wait_until(lambda: probe(worker, "ready")[0] == 200, 60)
