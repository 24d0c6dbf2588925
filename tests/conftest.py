"""Brokers, topics and environments for tests.

A real broker comes from STREAM_BOOTSTRAP_SERVERS if set, from `--broker=docker` (apache/kafka in a
container), else one embedded broker serves the whole run. Each test has topics, group and state folder of
its own.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.docker import docker_kafka
from support.environment import SHORT_SESSIONS, SOON_ABORTED, own_env
from support.topics import make_topics

from stream.broker.embedded import EmbeddedBroker


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker", choices=("embedded", "docker"), default="embedded", help="where Kafka comes from"
    )
    parser.addoption(
        "--kafka", help="versions of Kafka for tests/brokers, or `all`; default: oldest and newest"
    )


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a broker for the whole run."""
    given = os.environ.get("STREAM_BOOTSTRAP_SERVERS")
    if given:
        yield given
    elif pytestconfig.getoption("--broker") == "docker":
        with docker_kafka(SHORT_SESSIONS) as address:
            yield address
    else:
        with EmbeddedBroker(properties=SHORT_SESSIONS | SOON_ABORTED, heap_mib=768) as broker:
            yield broker.bootstrap_servers


@pytest.fixture
def stream_env(kafka: str, tmp_path: Path) -> dict[str, str]:
    """Settings with topics (2 partitions, made already), group and state folder of the test's own."""
    return make_topics(own_env(kafka, tmp_path), partitions=2)


@pytest.fixture
def bare_env(kafka: str, tmp_path: Path) -> dict[str, str]:
    """The same without topics."""
    return own_env(kafka, tmp_path)
