import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream.broker import embedded, runtime
from stream.broker.embedded import EmbeddedBroker
from stream.broker.runtime import Runtime
from stream.broker.storage import Storage
from stream.errors import Fatal, Misconfigured, Refused

TIMEOUT_S = 30
PASSWORD = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="pa=ss: word";'
PROPERTIES = {
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.secure.plain.sasl.jaas.config": PASSWORD,
    "broker.session.timeout.ms": "3000",  # a start after a kill waits until the session expires
}


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One broker in its own folder for all tests of this module."""
    folder = tmp_path_factory.mktemp("broker") / "with space, no: \u00fc".replace(",", "")
    with EmbeddedBroker(
        data_dir=folder, listeners={"SECURE": "SASL_PLAINTEXT"}, properties=PROPERTIES
    ) as broker:
        yield broker
    assert (folder / "kafka" / "meta.properties").exists(), "a given folder is kept"


@pytest.fixture
def broker(shared_broker: EmbeddedBroker) -> EmbeddedBroker:
    """The broker, restarted if the last test stopped it."""
    if shared_broker.pid is None:
        shared_broker.start()
    return shared_broker


def admin(broker: EmbeddedBroker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})


def create_topic(broker: EmbeddedBroker, topic: str) -> str:
    client = admin(broker)  # a reference is kept: requests fail once it is garbage-collected
    for future in client.create_topics([NewTopic(topic, 1, 1)]).values():
        future.result(TIMEOUT_S)
    return topic


def produce(broker: EmbeddedBroker, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    producer.produce(topic, value)
    assert producer.flush(TIMEOUT_S) == 0


def read_one(broker: EmbeddedBroker, topic: str) -> bytes | None:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": f"reads-{topic}",
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    try:
        consumer.subscribe([topic])
        record = consumer.poll(TIMEOUT_S)
        assert record is not None
        assert record.error() is None
        return record.value()
    finally:
        consumer.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = monotonic() + TIMEOUT_S
    while not condition():
        assert monotonic() < deadline, what
        sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.broker
def test_a_started_broker_responds(broker: EmbeddedBroker) -> None:
    assert list(admin(broker).list_topics(timeout=TIMEOUT_S).brokers) == [1]
    assert "Kafka Server started" in broker.log_tail()


@pytest.mark.broker
def test_topics_are_not_created_automatically(broker: EmbeddedBroker) -> None:
    assert (
        admin(broker).list_topics("never-created", timeout=TIMEOUT_S).topics["never-created"].error
        is not None
    )
    assert "never-created" not in admin(broker).list_topics(timeout=TIMEOUT_S).topics


@pytest.mark.broker
def test_an_additional_listener_works_with_its_properties(broker: EmbeddedBroker) -> None:
    client = AdminClient(
        {
            "bootstrap.servers": broker.address("SECURE"),
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "reader",
            "sasl.password": "pa=ss: word",
            "log_level": 0,
        }
    )
    assert list(client.list_topics(timeout=TIMEOUT_S).brokers) == [1]


@pytest.mark.broker
@pytest.mark.parametrize("end", [EmbeddedBroker.stop, EmbeddedBroker.kill])
def test_a_restart_keeps_the_address_topics_and_records(
    end: Callable[[EmbeddedBroker], None], broker: EmbeddedBroker
) -> None:
    address, topic = broker.bootstrap_servers, create_topic(broker, f"kept-over-{end.__name__}")
    produce(broker, topic, b"before")
    pid = broker.pid
    end(broker)
    assert broker.pid is None
    assert pid is not None
    assert not is_alive(pid)
    broker.start()
    assert broker.bootstrap_servers == address
    assert read_one(broker, topic) == b"before"


@pytest.mark.broker
def test_a_second_broker_on_the_same_folder_is_refused(broker: EmbeddedBroker) -> None:
    second = EmbeddedBroker(data_dir=broker.data_dir)
    with pytest.raises(Refused, match="another broker uses"):
        second.start()
    assert list(admin(broker).list_topics(timeout=TIMEOUT_S).brokers) == [1]


@pytest.mark.broker
def test_the_folder_of_another_node_is_refused(shared_broker: EmbeddedBroker) -> None:
    shared_broker.stop()
    with pytest.raises(Refused, match="formatted as"):
        EmbeddedBroker(data_dir=shared_broker.data_dir, properties={"node.id": "2"}).start()


@pytest.mark.broker
def test_a_refused_property_is_named_with_the_last_lines_of_the_log() -> None:
    broker = EmbeddedBroker(properties={"num.io.threads": "none"})
    with pytest.raises(
        Misconfigured, match=r"likely cause: Kafka refused one of its properties[^$]*num\.io\.threads"
    ):
        broker.start()
    assert broker.pid is None


@pytest.mark.broker
def test_a_heap_that_is_too_small_is_named_as_the_cause(shared_broker: EmbeddedBroker) -> None:
    shared_broker.stop()
    with pytest.raises(Refused, match="too little memory") as caught:
        EmbeddedBroker(data_dir=shared_broker.data_dir, heap_mib=1).start()
    assert "heap_mib" in caught.value.hint


@pytest.mark.broker
def test_a_broker_and_its_temporary_folder_do_not_outlive_a_killed_parent() -> None:
    code = (
        "import time; from stream.broker.embedded import EmbeddedBroker;"
        "broker = EmbeddedBroker().start();"
        "print(broker.pid, broker._storage.folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        parent.kill()
    wait_for(lambda: not is_alive(int(pid)), "the broker is still running")
    wait_for(lambda: not Path(folder).exists(), "its folder was not deleted")


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replace Java with a shell script: `$log` is the broker's log, and the folder counts as formatted."""

    def play(script: str) -> None:
        java = tmp_path / "java"
        java.write_text(f'#!/bin/sh\nlog="$PWD/server.log"\n{script}\n', "utf-8")
        java.chmod(0o755)
        monkeypatch.setattr(runtime, "prepare", lambda *_: Runtime(java, "4.4.0", (tmp_path / "kafka.jar",)))
        monkeypatch.setattr(Storage, "format", lambda *_: None)

    monkeypatch.setattr(embedded, "cache_dir", lambda: tmp_path)
    return play


def test_the_error_of_an_early_exit_shows_the_log(fake_java: Callable[[str], None]) -> None:
    fake_java('echo "java.io.IOException: No space left on device" > "$log"; exit 3')
    with pytest.raises(
        Refused, match="exited with status 3 instead of starting; likely cause: the disk is full"
    ):
        EmbeddedBroker().start()


def test_a_start_has_a_time_limit(fake_java: Callable[[str], None]) -> None:
    fake_java('echo "INFO at work" > "$log"; exec sleep 60')
    broker = EmbeddedBroker(start_timeout_s=0.5)
    with pytest.raises(Fatal, match=r"did not start within[^$]*at work"):
        broker.start()
    assert broker.pid is None


def test_the_log_of_an_earlier_run_does_not_count_as_a_start(
    fake_java: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "broker" / "run").mkdir(parents=True)
    (tmp_path / "broker" / "run" / "server.log").write_text("Kafka Server started\n", "utf-8")
    fake_java("exit 0")
    with pytest.raises(Fatal, match="exited with status 0"):
        EmbeddedBroker(data_dir=tmp_path / "broker").start()


def test_a_broker_that_died_can_be_started_again(fake_java: Callable[[str], None]) -> None:
    broker = EmbeddedBroker()
    port = broker.address("PLAINTEXT").split(":")[1]
    listen = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    fake_java(f'echo "Kafka Server started" >> "$log"; exec {sys.executable} -c "{listen}"')
    for _ in range(2):
        broker.start()
        pid = broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: broker.pid is None, "the exit of the broker was not noticed")
    broker.close()


def test_a_temporary_folder_is_deleted_and_a_given_one_is_kept(tmp_path: Path) -> None:
    temporary, given = EmbeddedBroker(), EmbeddedBroker(data_dir=tmp_path)
    folder = temporary._storage.folder
    assert folder.exists()
    temporary.close()
    given.close()
    assert not folder.exists()
    assert tmp_path.exists()


def test_an_unreferenced_broker_leaves_no_folder() -> None:
    folder = EmbeddedBroker()._storage.folder
    wait_for(lambda: not folder.exists(), "its temporary folder was not deleted")


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(Misconfigured, match="Linux or macOS"):
        EmbeddedBroker()


def test_all_ports_of_a_broker_differ() -> None:
    broker = EmbeddedBroker(listeners={"A": "PLAINTEXT", "B": "PLAINTEXT"})
    addresses = {broker.address(name) for name in ("PLAINTEXT", "A", "B")}
    assert len(addresses | {f"localhost:{broker._controller_port}"}) == 4
