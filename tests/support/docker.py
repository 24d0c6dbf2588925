"""Apache Kafka in a container: testcontainers' own KafkaContainer supports only images of another vendor."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

IMAGE = "apache/kafka:4.4.0"


@contextmanager
def docker_kafka(properties: Mapping[str, str]) -> Iterator[str]:
    """Start a broker whose advertised port is chosen before the start; yield its address."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - needs a Docker engine
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    defaults = {
        "node.id": "1",
        "process.roles": "broker,controller",
        # The broker also connects to itself (transaction markers), which fails on the port of the host.
        "listeners": "HOST://:9092,PLAINTEXT://:19092,CONTROLLER://:9093",
        "advertised.listeners": f"HOST://localhost:{port},PLAINTEXT://localhost:19092",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,HOST:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "controller.quorum.voters": "1@localhost:9093",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.min.heartbeat.interval.ms": "200",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    }
    container = DockerContainer(IMAGE).with_bind_ports(9092, port)
    for name, value in {**defaults, **properties}.items():
        container = container.with_env("KAFKA_" + name.replace(".", "_").upper(), value)
    container = container.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(90))
    with container:
        yield f"localhost:{port}"
