"""The cluster watch of a command, on a fake admin client."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from support.topics import wait_until

from stream.config import Settings
from stream.errors import Fatal, Refused
from stream.tools.kafka import cluster_watch
from stream.tools.kafka.cluster_watch import ClusterWatch

UNAVAILABLE = KafkaError._TIMED_OUT


def future_of(answer: object) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
    return future


@dataclass
class Cluster:
    """A fake admin client, and the responses of its cluster."""

    cluster_id: str = "one"
    topic_ids: dict[str, str] = field(default_factory=lambda: {"t": "a"})
    is_available: bool = True
    said: list[str] = field(default_factory=list)
    asked: int = 0

    def describe_cluster(self, **_: object) -> Future[Any]:
        self.asked += 1
        if not self.is_available:
            return future_of(KafkaException(KafkaError(UNAVAILABLE)))
        return future_of(SimpleNamespace(cluster_id=self.cluster_id))

    def describe_topics(self, topics: TopicCollection, **_: object) -> Mapping[str, Future[Any]]:
        unknown = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        ids = {name: self.topic_ids.get(name) for name in topics.topic_names}
        return {
            name: future_of(SimpleNamespace(topic_id=topic_id) if topic_id else unknown)
            for name, topic_id in ids.items()
        }


Watching = Callable[..., ClusterWatch]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(cluster_watch, "make_admin", lambda _: cluster)
    for name in ("HEALTHY_WAIT_S", "FAILING_WAIT_S", "DELAY_S"):
        monkeypatch.setattr(cluster_watch, name, 0.01)
    for name in ("REPEATED_S", "MISSING_S_MAX"):
        monkeypatch.setattr(cluster_watch, name, 0.1)
    return cluster


@pytest.fixture
def watching(cluster: Cluster) -> Iterator[Watching]:
    watches = list[ClusterWatch]()

    def watching(*topics: str) -> ClusterWatch:
        watches.append(ClusterWatch(Settings(), topics, cluster.said.append))
        wait_until(lambda: cluster.asked > 1, 10, every=0.01)
        return watches[-1]

    yield watching
    for watch in watches:
        watch.close()


def wait_changed(watch: ClusterWatch) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            watch.check()
        except Refused as why:
            return str(why)
        time.sleep(0.01)
    raise AssertionError("no change was noticed")


@pytest.mark.parametrize("topics", [(), ("t",)])
def test_outage_is_reported_repeatedly_and_its_end_once(
    cluster: Cluster, watching: Watching, topics: tuple[str, ...]
) -> None:
    watch = watching(*topics)
    cluster.is_available = False
    wait_until(lambda: len(cluster.said) >= 3, 10, every=0.01)
    assert watch.is_waiting
    cluster.is_available = True
    wait_until(lambda: not watch.is_waiting, 10, every=0.01)
    assert cluster.said[0].startswith("waiting for Kafka at localhost:9092: ")
    assert all("still waiting" in sentence for sentence in cluster.said[1:-1])
    assert cluster.said[-1] == "Kafka is available again"
    watch.check()


def test_another_cluster_is_noticed_even_if_its_topics_are_missing_or_have_the_same_ids(
    cluster: Cluster, watching: Watching
) -> None:
    watch = watching("t")
    cluster.topic_ids.clear()
    cluster.cluster_id = "two"
    assert wait_changed(watch).startswith(
        "another Kafka cluster responds at localhost:9092 (id one before, two now)"
    )


def test_recreated_topic_is_noticed(cluster: Cluster, watching: Watching) -> None:
    watch = watching("t")
    cluster.topic_ids["t"] = "b"
    assert wait_changed(watch).startswith("the topic t was deleted and created again (id a before, b now)")


def test_topic_that_stays_missing_was_deleted(cluster: Cluster, watching: Watching) -> None:
    watch = watching("t")
    cluster.topic_ids.clear()
    assert wait_changed(watch) == "the topic t was deleted"


def test_topic_that_is_briefly_missing_is_not_a_change(cluster: Cluster, watching: Watching) -> None:
    watch = watching("t")
    ids = dict(cluster.topic_ids)
    cluster.topic_ids.clear()
    asked = cluster.asked
    wait_until(lambda: cluster.asked > asked + 1, 10, every=0.005)
    cluster.topic_ids.update(ids)
    time.sleep(0.2)
    watch.check()


def test_error_of_the_client_is_explained_by_the_change(cluster: Cluster, watching: Watching) -> None:
    watch = watching("t")
    cluster.topic_ids["t"] = "b"
    with pytest.raises(Refused, match="deleted and created again"), watch.explained():
        raise Fatal("the log was truncated while it was read")


def test_error_of_the_client_without_a_change_stays_as_it_is(watching: Watching) -> None:
    with pytest.raises(Fatal, match="truncated"), watching("t").explained():
        raise Fatal("the log was truncated while it was read")
