"""Roles of the nodes of a three-node cluster, compared with what Kafka itself reports."""

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaException, TopicPartition

from stream.config import Settings, load_settings
from stream.errors import Retriable
from stream.kafka.clients import make_admin, make_consumer, reader_options
from stream.kafka.futures import result_of
from stream.tools.chaos.cluster import Cluster, cluster
from stream.tools.chaos.leaders import reorder_replicas, with_next_leaders
from stream.tools.chaos.log_truncation import read_batches
from stream.tools.chaos.probe import Probes
from stream.tools.kafka.bare_transactions import BareTransactions
from stream.tools.kafka.cluster_view import (
    OFFSETS_TOPIC,
    TRANSACTIONS_TOPIC,
    ClusterView,
    coordinator_partition,
)
from stream.tools.kafka.topic_creation import create_topics

pytestmark = [pytest.mark.broker, pytest.mark.embedded, pytest.mark.timeout(300)]

GROUP = "negative-hash-0"  # its hash is negative, so its absolute value and its low 31 bits differ
WAIT_S_MAX = 60.0


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("chaos"), 6_000, None, 3) as started:
        yield started


@pytest.fixture(scope="module")
def settings(started: Cluster) -> Settings:
    settings = load_settings(bootstrap_servers=started.bootstrap_servers, group_id=GROUP)
    create_topics(make_admin(settings), settings, 3, None, repair=False)
    return settings


@pytest.fixture
def view(started: Cluster, settings: Settings) -> ClusterView:
    view = ClusterView(lambda: make_admin(settings))
    wait_for(lambda: not view.not_in_sync(started.nodes))
    return view


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not _holds(condition):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except Retriable:
        return False


def written_partitions(started: Cluster, topic: str) -> set[int]:
    return {
        int(folder.name.rpartition("-")[2])
        for node in (1, 2, 3)
        for folder in started.data_dir(node).glob(f"{topic}-*")
        if any(read_batches(log.read_bytes()) for log in folder.glob("*.log"))
    }


def test_coordinator_of_a_group_is_the_leader_of_its_partition(
    started: Cluster, settings: Settings, view: ClusterView
) -> None:
    consumer = make_consumer(reader_options(settings))
    offsets = [TopicPartition(settings.input_topic, 0, 0)]

    def has_committed() -> bool:
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException:  # the offsets topic has no leaders yet
            return False
        return True

    wait_for(has_committed)
    consumer.close()
    assert written_partitions(started, OFFSETS_TOPIC) == {coordinator_partition(GROUP, 8)}
    wait_for(lambda: not view.not_in_sync(started.nodes))
    admin = make_admin(settings)
    described = result_of(admin.describe_consumer_groups([GROUP])[GROUP])
    assert view.coordinator(OFFSETS_TOPIC, GROUP) == described.coordinator.id


def test_coordinator_of_a_transactional_producer_is_computed_as_in_kafka(
    started: Cluster, settings: Settings, view: ClusterView
) -> None:
    transactions = BareTransactions(settings, GROUP)

    def has_committed() -> bool:
        transactions.commit(settings.input_topic, 0, b"any")
        return True

    wait_for(has_committed)
    assert written_partitions(started, TRANSACTIONS_TOPIC) == {coordinator_partition(GROUP, 8)}
    assert view.coordinator(TRANSACTIONS_TOPIC, GROUP) in {1, 2, 3}


def test_every_probe_commits_and_all_leaders_can_be_moved(
    started: Cluster, settings: Settings, view: ClusterView
) -> None:
    wait_for(lambda: TRANSACTIONS_TOPIC in view.topics())
    probes = Probes(settings, view, started.nodes)
    probes.start()
    try:
        began = time.monotonic()
        wait_for(lambda: probes.commit_since(began))
        before = view.leaders(TRANSACTIONS_TOPIC)
        reorder_replicas(started.broker(1).bootstrap_servers, with_next_leaders(view.replicas(), 3))
        view.elect_preferred()
        wait_for(lambda: view.leaders(TRANSACTIONS_TOPIC) == {p: n % 3 + 1 for p, n in before.items()})
        moved = time.monotonic()
        wait_for(lambda: probes.commit_since(moved))
    finally:
        probes.stop()


def test_another_controller_is_active_after_the_kill_of_the_first(
    started: Cluster, view: ClusterView
) -> None:
    first = started.controller()
    assert first is not None
    started.broker(first).kill()
    wait_for(lambda: started.controller() not in {None, first})
    wait_for(lambda: bool(view.not_in_sync(started.nodes)))  # once its session has expired
    started.broker(first).start()
    wait_for(lambda: not view.not_in_sync(started.nodes))


def test_one_setting_is_changed_for_all_topics(started: Cluster, view: ClusterView) -> None:
    view.set_topic_config("min.insync.replicas", "3")
    view.set_topic_config("min.insync.replicas", "2")
    assert not view.not_in_sync(started.nodes)
