import json
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, Producer
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

PORT = 29092  # chosen before the broker starts, because the broker advertises it to clients
KAFKA = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_LISTENERS": f"INSIDE://:19092,OUTSIDE://:{PORT},CONTROLLER://:9093",
    "KAFKA_ADVERTISED_LISTENERS": f"INSIDE://kafka:19092,OUTSIDE://localhost:{PORT}",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
}


@contextmanager
def anagram_stream(image: str = "anagram-stream:local") -> Iterator[str]:
    """Start Kafka with the topics and a worker that is ready; yield the broker's address."""
    with Network() as network:
        kafka = DockerContainer("apache/kafka:4.4.0").with_network(network).with_network_aliases("kafka")
        for name, value in KAFKA.items():
            kafka.with_env(name, value)
        kafka.with_bind_ports(PORT, PORT).waiting_for(LogMessageWaitStrategy("Kafka Server started"))
        worker = DockerContainer(image).with_network(network).with_exposed_ports(8080)
        worker.with_env("STREAM_BOOTSTRAP_SERVERS", "kafka:19092")
        worker.with_kwargs(entrypoint=["sh", "-c"])
        worker.with_command(["anagram-stream topics create && exec anagram-stream worker"])
        worker.waiting_for(HttpWaitStrategy(8080, "/healthz/ready").for_status_code(200))
        with kafka, worker:
            yield f"localhost:{PORT}"


def test_my_blob_is_counted() -> None:
    with anagram_stream() as address:
        producer = Producer({"bootstrap.servers": address})
        producer.produce("text-blobs", "Listen, silent cat", key="mine")
        producer.flush()
        consumer = Consumer({"bootstrap.servers": address, "group.id": "me", "auto.offset.reset": "earliest"})
        consumer.subscribe(["anagram-results"])
        while (message := consumer.poll(30)) is None or message.error():
            assert message is not None, "no result within 30 s"
        consumer.close()
        assert json.loads(message.value() or b"")["anagram_counts"]["cat"] == 1
