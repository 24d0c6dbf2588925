"""Spurious fencing, and fencing by another worker; a process that stops does not stop the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from support.environment import SHORT_SESSIONS, own_env
from support.process import WorkerProcess
from support.topics import make_topics, produce, read, settings_of, wait_until
from test_processes import get, ready, samples

from stream.broker.embedded import EmbeddedBroker
from stream.dictionary import load_index
from stream.kafka import clients
from stream.tools.audit.verify import verify
from stream.tools.chaos.proxy import Api, Error, FaultProxy, Rule, When

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
INVALID_PRODUCER_EPOCH, PRODUCER_FENCED = 47, 90


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with FaultProxy() as proxy:
        yield proxy


@pytest.fixture
def env(proxy: FaultProxy, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings that bypass the proxy; `proxied` makes those of a worker behind it."""
    with EmbeddedBroker(
        properties=SHORT_SESSIONS, listeners={"PROXIED": "PLAINTEXT"}, advertised={"PROXIED": proxy.port}
    ) as broker:
        proxy.start(broker.bound("PROXIED"))
        yield make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)


def proxied(env: dict[str, str], proxy: FaultProxy, processes: int) -> dict[str, str]:
    return {**env, "STREAM_BOOTSTRAP_SERVERS": proxy.address, "STREAM_PROCESSES": str(processes)}


def check_exact(env: dict[str, str], records: int) -> None:
    verdict = verify(settings_of(env), load_index(None))
    assert verdict.holds, verdict.differences
    assert verdict.results == records


@pytest.mark.parametrize("code", [INVALID_PRODUCER_EPOCH, PRODUCER_FENCED])
def test_one_refusal_of_a_recent_transaction_stops_no_process(
    env: dict[str, str], proxy: FaultProxy, tmp_path: Path, code: int
) -> None:
    """librdkafka#3003: the producer is fenced although nobody took over its transactional id."""
    with WorkerProcess(proxied(env, proxy, 2), tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        proxy.add(Rule(Api.END_TXN, Error(code), When.once()))
        for partition in (0, 1):
            produce(env, [(None, "cat")] * 50, partition=partition)
        wait_until(lambda: len(read(env, "result")) == 100, 60)
        (event,) = worker.events("transaction in doubt")
        assert "another worker took over its transactional id, or the broker ended" in event["why"]
        assert len(worker.events("worker started")) == 2
        assert worker.stop() == 0
    check_exact(env, 100)


def test_a_fenced_process_stops_alone_and_the_others_count_its_partitions(
    env: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    rival = {**proxied(env, proxy, 2), "STREAM_INSTANCE_ID": "pair"}
    with WorkerProcess(rival, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        # The first process may get both partitions before the second one has joined.
        wait_until(lambda: samples(worker, "stream_assigned_partitions") == {"0": 1, "1": 1}, 60)
        wait_until(lambda: ready(worker)["ready"], 60)
        rule = Rule(Api.END_TXN, Error(INVALID_PRODUCER_EPOCH), When.probability(1, 1), client="pair-1")
        proxy.add(rule)
        for partition in (0, 1):
            produce(env, [(None, "cat")] * 50, partition=partition)
        worker.wait_for("process ended", seconds=60)
        wait_until(lambda: len(read(env, "result")) == 100, 60)
        (event,) = worker.events("process ended")
        assert (event["name"], event["continuing"]) == ("process 1", "process 0")
        assert "another worker uses the same id" in event["error"]
        assert "STREAM_INSTANCE_ID" in event["fix"]
        assert samples(worker, "stream_assigned_partitions") == {"0": 2}
        assert samples(worker, "stream_process_up") == {"0": 1, "1": 0}
        assert get(worker, "/healthz/live")[0] == 200
        (reason,) = ready(worker)["reasons"]
        assert reason.startswith("process 1: ended for good")
        assert worker.stop() == 1
    check_exact(env, 100)


def test_a_member_that_the_group_refuses_once_joins_again(
    env: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    """A second consumer with the same id simulates a coordinator that could not write the group's state."""
    one = {**proxied(env, proxy, 1), "STREAM_GROUP_PROTOCOL": "classic", "STREAM_INSTANCE_ID": "one"}
    with WorkerProcess(one, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        stranger = Consumer(
            {
                **clients.member_options(settings_of({**env, "STREAM_INSTANCE_ID": "one"}), "one", "classic"),
                "error_cb": lambda _: None,
            }
        )
        stranger.subscribe([env["STREAM_INPUT_TOPIC"]])
        wait_until(lambda: stranger.poll(0.1) is None and stranger.memberid(), 30)
        wait_until(lambda: stranger.poll(0.1) is None and worker.events("waiting for Kafka"), 30)
        stranger.close()
        for partition in (0, 1):
            produce(env, [(None, "cat")] * 50, partition=partition)
        wait_until(lambda: len(read(env, "result")) == 100, 60)
        assert any("refused this member" in event["why"] for event in worker.events("waiting for Kafka"))
        assert worker.stop() == 0
    check_exact(env, 100)
