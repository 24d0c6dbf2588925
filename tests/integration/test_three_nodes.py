"""A worker on a replicated cluster with Kafka's default settings of groups."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicCollection
from support.environment import own_env
from support.process import WorkerProcess
from support.topics import admin_of, make_topics, produce, read, settings_of, wait_until

from stream.broker.cluster import EmbeddedCluster
from stream.broker.embedded import EmbeddedBroker
from stream.dictionary import load_index
from stream.tools.audit.verify import verify

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
RECORDS = 2_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster() as running:
        yield running


def leader(cluster: EmbeddedCluster, env: dict[str, str]) -> EmbeddedBroker:
    """Return the leader of partition 0 of the input topic."""
    topic, admin = env["STREAM_INPUT_TOPIC"], admin_of(env)
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(30)
    return cluster.brokers[described.partitions[0].leader.id - 1]


def feed(env: dict[str, str]) -> None:
    produce(env, [(b"%d" % number, "cat act tinsel") for number in range(RECORDS)], partition=0)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_counts_are_exact_when_the_leader_of_an_input_partition_is_killed(
    cluster: EmbeddedCluster, tmp_path: Path, protocol: str
) -> None:
    env = {**own_env(cluster.bootstrap_servers, tmp_path), "STREAM_GROUP_PROTOCOL": protocol}
    make_topics(env, partitions=2)

    def results() -> int:
        return len(read(env, "result"))

    with WorkerProcess(env, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        feed(env)
        wait_until(results, 60)
        killed = leader(cluster, env)
        killed.kill()
        feed(env)  # the remaining two nodes accept it
        wait_until(lambda: results() == 2 * RECORDS, 60)
        killed.start()
        feed(env)
        wait_until(lambda: results() == 3 * RECORDS, 60)
        assert worker.stop() == 0
    verdict = verify(settings_of(env), load_index(None), state_dirs=[Path(env["STREAM_STATE_DIR"])])
    assert verdict.holds, verdict.differences
    assert verdict.results == 3 * RECORDS
