import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import psutil
import pytest
from confluent_kafka import Producer, TopicCollection, TopicPartitionInfo
from confluent_kafka.admin import ConfigResource, TopicDescription  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic
from support.topics import admin_of, settings_of, wait_until

from stream.broker import embedded, runtime
from stream.broker.cluster import EmbeddedCluster
from stream.broker.embedded import EmbeddedBroker
from stream.broker.runtime import Runtime
from stream.broker.storage import Storage, claim_cluster
from stream.errors import Misconfigured, Refused
from stream.kafka import clients
from stream.tools.child_environment import environment_without_settings
from stream.tools.kafka.topic_reader import read_topic

SECONDS_MAX = 90
CLOSE_S_MAX = 10.0
TOPIC = "kept"


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """One cluster in its own folder for all tests of this module; its topic has one partition."""
    folder = tmp_path_factory.mktemp("cluster") / "data"
    with EmbeddedCluster(data_dir=folder) as cluster:
        admin = admin_of(env(cluster))  # a reference is kept: requests fail once it is garbage-collected
        admin.create_topics([NewTopic(TOPIC, 1)])[TOPIC].result(SECONDS_MAX)
        yield cluster
        pids = [broker.pid for broker in cluster.brokers if broker.pid]
        began = monotonic()
    assert monotonic() - began < CLOSE_S_MAX
    assert not any(map(psutil.pid_exists, pids))
    assert all((folder / f"node-{node}" / "kafka").exists() for node in (1, 2, 3)), "a given folder is kept"


@pytest.fixture
def cluster(shared_cluster: EmbeddedCluster) -> EmbeddedCluster:
    """The cluster with all nodes running and all replicas in sync."""
    shared_cluster.start()
    await_in_sync(shared_cluster)
    return shared_cluster


def env(cluster: EmbeddedCluster) -> dict[str, str]:
    return {"STREAM_BOOTSTRAP_SERVERS": cluster.bootstrap_servers}


def describe(cluster: EmbeddedCluster, topic: str) -> TopicDescription:
    admin = admin_of(env(cluster))
    described: TopicDescription = admin.describe_topics(TopicCollection([topic]))[topic].result(SECONDS_MAX)
    return described


def partition(cluster: EmbeddedCluster) -> TopicPartitionInfo:
    return describe(cluster, TOPIC).partitions[0]


def await_in_sync(cluster: EmbeddedCluster) -> None:
    wait_until(lambda: len(partition(cluster).isr) == 3, SECONDS_MAX)


def leader(cluster: EmbeddedCluster) -> EmbeddedBroker:
    wait_until(lambda: partition(cluster).leader, SECONDS_MAX)
    return cluster.brokers[partition(cluster).leader.id - 1]


def produce(cluster: EmbeddedCluster, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "acks": "all", "log_level": 0})
    producer.produce(TOPIC, value)
    assert producer.flush(SECONDS_MAX) == 0


def await_last(cluster: EmbeddedCluster, *expected: bytes) -> None:
    """Wait until these are the last values of the topic; a new leader first has to catch up."""
    options = clients.reader_options(settings_of(env(cluster)))

    def values() -> list[bytes | None]:
        return [record.value for record in read_topic(options, admin_of(env(cluster)), TOPIC)]

    wait_until(lambda: values()[-len(expected) :] == list(expected), SECONDS_MAX)


@pytest.mark.broker
@pytest.mark.embedded
def test_topics_have_three_replicas_and_two_must_be_in_sync(cluster: EmbeddedCluster) -> None:
    admin = admin_of(env(cluster))
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": "one"})
    producer.init_transactions(SECONDS_MAX)  # makes the broker create __transaction_state
    for topic in (TOPIC, "__transaction_state"):
        assert {len(each.replicas) for each in describe(cluster, topic).partitions} == {3}
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        configs = admin.describe_configs([resource])[resource].result(SECONDS_MAX)
        assert configs["min.insync.replicas"].value == "2"


@pytest.mark.broker
@pytest.mark.embedded
def test_record_survives_a_kill_and_restart_of_its_leader(cluster: EmbeddedCluster) -> None:
    produce(cluster, b"before")
    killed = leader(cluster)
    killed.kill()
    await_last(cluster, b"before")
    produce(cluster, b"meanwhile")
    killed.start()
    await_in_sync(cluster)
    for other in cluster.brokers:
        if other is not killed:
            other.stop()
            break  # two nodes remain: the restarted one must have caught up
    await_last(cluster, b"before", b"meanwhile")


@pytest.mark.broker
@pytest.mark.embedded
def test_data_survive_the_kill_of_all_nodes(cluster: EmbeddedCluster) -> None:
    produce(cluster, b"before all")
    for broker in cluster.brokers:
        broker.kill()
    cluster.start()
    await_last(cluster, b"before all")


@pytest.mark.broker
@pytest.mark.embedded
def test_command_names_a_node_that_stopped_and_exits_when_most_have_stopped() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "stream", "broker", "--nodes", "3", "--port", "0"],
        env=environment_without_settings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        line = next(line for line in command.stdout if line.startswith("3 nodes of Kafka"))
        assert len(re.findall(r"localhost:\d+", line)) == 3
        started = psutil.Process(command.pid).children(recursive=True)
        nodes = [
            next(each for each in started if f"node-{number}/run/server.properties" in each.cmdline()[-1])
            for number in (2, 3)
        ]
        nodes[0].kill()
        time.sleep(2)
        assert command.poll() is None
        nodes[1].kill()
        _, error = command.communicate(timeout=SECONDS_MAX)
    assert command.returncode == 1
    assert "node 2 of the cluster stopped; the others continue" in error
    assert len(re.findall("stopped unexpectedly; the last lines of its log", error)) == 2
    # A process that nobody has waited for is a zombie, and stays one where pid 1 does not reap it.
    assert not [each for each in started if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


# Fake Java: a node that listens at once. With `fails`, node 2 exits and no other node finishes its start.
FAKE_JAVA = """
import pathlib, re, socket, sys, time
if "node-2" in sys.argv[-1] and {fails}:
    pathlib.Path("server.log").write_text("java.io.IOException: No space left on device")
    sys.exit(3)
settings = pathlib.Path("server.properties").read_text("ascii").replace("\\\\", "")
listener = socket.create_server(("127.0.0.1", int(re.search(r"PLAINTEXT://127.0.0.1:(\\d+)", settings)[1])))
with pathlib.Path("server.log").open("a") as log:
    log.write("" if {fails} else "Kafka Server started\\n")
time.sleep(60)
"""
USE_FAKE_JAVA = """
from pathlib import Path
from stream.broker import embedded, runtime
from stream.broker.cluster import EmbeddedCluster
from stream.broker.runtime import Runtime
from stream.broker.storage import Storage
folder = Path({folder!r})
runtime.prepare = lambda *_: Runtime(folder / "java", "4.4.0", (folder / "kafka.jar",))
embedded.cache_dir = lambda: folder
Storage.format = lambda *_: None
"""


def write_fake_java(folder: Path, *, fails: bool = False) -> None:
    java = folder / "java"
    java.write_text(f"#!{sys.executable} -IS\n{FAKE_JAVA.format(fails=fails)}", "utf-8")
    java.chmod(0o755)


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace Java with a script, and return its folder."""
    java = Runtime(tmp_path / "java", "4.4.0", (tmp_path / "kafka.jar",))
    monkeypatch.setattr(runtime, "prepare", lambda *_: java)
    monkeypatch.setattr(embedded, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(Storage, "format", lambda *_: None)
    write_fake_java(tmp_path)
    return tmp_path


def test_close_stops_all_nodes_and_deletes_temporary_data(fake_java: Path) -> None:
    with EmbeddedCluster() as cluster:
        pids = [broker.pid or 0 for broker in cluster.brokers]
        folders = [broker.log.parents[1] for broker in cluster.brokers]
        assert all(map(psutil.pid_exists, pids))
    assert not any(map(psutil.pid_exists, pids))
    assert not folders[0].parent.exists()
    assert fake_java.exists()


def test_start_starts_only_the_nodes_that_do_not_run(fake_java: Path) -> None:
    assert fake_java.exists()
    with EmbeddedCluster() as cluster:
        pids = [broker.pid for broker in cluster.brokers]
        cluster.brokers[1].kill()
        cluster.start()
        again = [broker.pid for broker in cluster.brokers]
    assert [now == before for now, before in zip(again, pids, strict=True)] == [True, False, True]


def test_node_that_does_not_start_stops_the_others_and_its_cause_is_named(fake_java: Path) -> None:
    write_fake_java(fake_java, fails=True)
    cluster = EmbeddedCluster()
    with pytest.raises(Refused, match="likely cause: the disk is full"):
        cluster.start()
    assert [broker.pid for broker in cluster.brokers] == [None, None, None]


def test_nodes_and_temporary_data_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    write_fake_java(tmp_path)
    code = USE_FAKE_JAVA.format(folder=str(tmp_path)) + (
        "cluster = EmbeddedCluster().start()\n"
        "print(*(b.pid for b in cluster.brokers), cluster.brokers[0].log.parents[2], flush=True)\n"
        "import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        *pids, folder = parent.stdout.readline().split()
        parent.kill()
    wait_until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids), 10)
    wait_until(lambda: not Path(folder).exists(), 10)


def test_only_the_first_node_records_the_class_archive(fake_java: Path) -> None:
    assert fake_java.exists()
    with EmbeddedCluster() as cluster:
        assert [broker.records_archive for broker in cluster.brokers] == [True, False, False]


@pytest.mark.parametrize("nodes", [-1, 0, 2, 4, 8, 9])
def test_impossible_number_of_nodes_is_refused(nodes: int) -> None:
    with pytest.raises(Misconfigured, match=f"1, 3, 5 or 7 nodes, not {nodes}") as caught:
        EmbeddedCluster(nodes=nodes)
    assert "3 nodes" in caught.value.hint


def test_all_ports_of_a_cluster_differ_and_client_ports_are_consecutive() -> None:
    advertised = {"PROXIED": (29_001, 29_002, 29_003)}
    cluster = EmbeddedCluster(port=22_310, listeners={"PROXIED": "PLAINTEXT"}, advertised=advertised)
    assert cluster.bootstrap_servers == "localhost:22310,localhost:22311,localhost:22312"
    assert cluster.address("PROXIED") == "localhost:29001,localhost:29002,localhost:29003"
    bound = {broker.bound(name) for broker in cluster.brokers for name in ("PLAINTEXT", "PROXIED")}
    controllers = {f"localhost:{broker._controller_port}" for broker in cluster.brokers}
    assert len(bound | controllers) == 9


def test_each_node_needs_an_advertised_port() -> None:
    with pytest.raises(Misconfigured, match="ports advertised for PROXIED is 2, not 3"):
        EmbeddedCluster(listeners={"PROXIED": "PLAINTEXT"}, advertised={"PROXIED": (29_001, 29_002)})


def test_ports_beyond_the_last_one_are_refused() -> None:
    with pytest.raises(Misconfigured, match="65534 to 65536"):
        EmbeddedCluster(port=65_534)


@pytest.mark.parametrize("name", ["node.id", "controller.quorum.voters", "process.roles"])
def test_property_that_the_cluster_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(name)):
        EmbeddedCluster(properties={name: "1"})


def test_one_node_is_a_broker_with_its_own_folder_and_settings(tmp_path: Path) -> None:
    (broker,) = EmbeddedCluster(nodes=1, data_dir=tmp_path, properties={"node.id": "7"}).brokers
    assert broker.data_dir == tmp_path
    assert broker._settings(tmp_path) == EmbeddedBroker(properties={"node.id": "7"})._settings(tmp_path) | {
        name: broker._settings(tmp_path)[name]
        for name in ("listeners", "advertised.listeners", "controller.quorum.voters")
    }


def test_folder_of_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    cluster_id = claim_cluster(tmp_path, "4.4.0", 3)
    assert claim_cluster(tmp_path, "4.4.0", 3) == cluster_id
    with pytest.raises(
        Refused, match=r"the data of 3 nodes with Kafka 4\.4\.0; .* does not start with 5 nodes"
    ) as caught:
        EmbeddedCluster(nodes=5, data_dir=tmp_path).start()
    assert "start the broker with --nodes 3 --kafka 4.4.0" in caught.value.hint
    with pytest.raises(Refused, match=r"does not start with 3 nodes and Kafka 3\.9\.1"):
        EmbeddedCluster(kafka="3.9.1", data_dir=tmp_path).start()
    assert {each.name for each in tmp_path.iterdir()} == {"cluster.json", "cluster.lock"}


@pytest.mark.parametrize("folder", [".", "node-1"])
def test_one_node_refuses_the_folder_of_a_cluster(tmp_path: Path, folder: str) -> None:
    claim_cluster(tmp_path, "4.4.0", 3)
    with pytest.raises(Refused, match=r"3 nodes with Kafka 4\.4\.0; .* does not start with 1 node"):
        Storage(tmp_path / folder, "4.4.0").lock()


def test_cluster_refuses_the_folder_of_one_node(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    with pytest.raises(Refused, match="the data of one node") as caught:
        EmbeddedCluster(data_dir=tmp_path).start()
    assert "--nodes 1" in caught.value.hint


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="data_dir cannot be written"):
        EmbeddedCluster(data_dir=tmp_path / "file" / "cluster").start()
