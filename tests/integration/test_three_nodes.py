"""A worker on a replicated cluster with Kafka's default group settings."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicCollection
from support.arrivals import Arrivals
from support.environment import own_env
from support.process import WorkerProcess
from support.topics import admin_of, make_topics, produce, read, settings_of, wait_until

from stream.broker.cluster import EmbeddedCluster
from stream.broker.embedded import EmbeddedBroker
from stream.dictionary import load_index
from stream.tools.audit.verify import verify
from stream.tools.kafka.cluster_view import OFFSETS_TOPIC, ClusterView

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
RECORDS = 2_000
PARTITIONS = 6
DOWN_S = 12.0  # longer than the cluster needs to notice it
SECONDS_MAX = 90.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster() as running:
        yield running


def leader(cluster: EmbeddedCluster, env: dict[str, str]) -> EmbeddedBroker:
    """Return the leader of partition 0 of the input topic."""
    topic, admin = env["STREAM_INPUT_TOPIC"], admin_of(env)
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(30)
    node: int = described.partitions[0].leader.id
    return cluster.brokers[node - 1]


def group_coordinator(cluster: EmbeddedCluster, env: dict[str, str]) -> EmbeddedBroker:
    node = ClusterView(lambda: admin_of(env)).coordinator(OFFSETS_TOPIC, env["STREAM_GROUP_ID"])
    assert node is not None
    return cluster.brokers[node - 1]


def feed(env: dict[str, str]) -> None:
    produce(env, [(b"%d" % number, "cat act tinsel") for number in range(RECORDS)], partition=0)


def test_counts_are_exact_when_the_leader_of_an_input_partition_is_killed(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    env = make_topics(own_env(cluster.bootstrap_servers, tmp_path), partitions=2)

    def await_results(least: int) -> None:
        wait_until(lambda: len(read(env, "result")) >= least, SECONDS_MAX, every=1.0)

    with WorkerProcess(env, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        feed(env)
        await_results(1)
        killed = leader(cluster, env)
        killed.kill()
        feed(env)  # the remaining two nodes accept it
        await_results(2 * RECORDS)
        killed.start()
        feed(env)
        await_results(3 * RECORDS)
        assert worker.stop() == 0
    verdict = verify(settings_of(env), load_index(None), state_dirs=[Path(env["STREAM_STATE_DIR"])])
    assert verdict.holds, verdict.differences
    assert verdict.results == 3 * RECORDS


def test_commit_does_not_hang_when_the_coordinator_of_the_group_is_killed(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    """The client drops a broker that left the cluster, but waits for it (librdkafka#5511; decision 22)."""
    env = make_topics(own_env(cluster.bootstrap_servers, tmp_path), partitions=PARTITIONS)
    view = ClusterView(lambda: admin_of(env))
    with Arrivals(env, PARTITIONS) as arrivals, WorkerProcess(env, tmp_path / "log") as worker:
        for _ in range(2):
            wait_until(arrivals.flows, SECONDS_MAX)
            killed = group_coordinator(cluster, env)
            killed.kill()
            time.sleep(DOWN_S)
            wait_until(arrivals.flows, SECONDS_MAX)
            killed.start()
            wait_until(lambda: not view.not_in_sync(len(cluster.brokers)), SECONDS_MAX)
            view.elect_preferred()
        assert not worker.events("loop hangs")
