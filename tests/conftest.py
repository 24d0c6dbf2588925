"""Brokers, topics and environments for tests.

The broker is the one at STREAM_BOOTSTRAP_SERVERS if that is set, apache/kafka in a container with
`--broker=docker`, or else one embedded broker for the whole run. Each test has its own topics, group and
state folder.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.docker import docker_kafka
from support.environment import SHORT_SESSIONS, SOON_ABORTED, own_env
from support.topics import make_topics

from stream.broker.embedded import EmbeddedBroker

# A slow example on a busy machine is not a failure.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker", choices=("embedded", "docker"), default="embedded", help="the Kafka to test against"
    )
    parser.addoption("--kafka", help="Kafka versions for tests/brokers, or `all`; default: oldest and newest")


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of one broker for the whole run."""
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
    """Settings with the test's own group, state folder and existing topics (2 partitions each)."""
    return make_topics(own_env(kafka, tmp_path), partitions=2)


@pytest.fixture
def bare_env(kafka: str, tmp_path: Path) -> dict[str, str]:
    """The same settings, but the topics do not exist."""
    return own_env(kafka, tmp_path)
