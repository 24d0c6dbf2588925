"""Brokers, topics and environments for tests.

A real broker comes from STREAM_BOOTSTRAP_SERVERS if set, from `--broker=docker` (apache/kafka in a
container), else one embedded broker serves the whole run. Each test has topics, group and state folder of
its own.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.docker import docker_kafka
from support.topics import make_topics

from stream.broker.embedded import EmbeddedBroker

# Short sessions, so that the successor of a killed worker does not wait 45 s.
SHORT_SESSIONS = {
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker", choices=("embedded", "docker"), default="embedded", help="where Kafka comes from"
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
        with EmbeddedBroker(properties=SHORT_SESSIONS, heap_mib=768) as broker:
            yield broker.bootstrap_servers


@pytest.fixture
def stream_env(kafka: str, tmp_path: Path) -> dict[str, str]:
    """Settings with topics (2 partitions, made already), group and state folder of the test's own."""
    return make_topics(own_env(kafka, tmp_path), partitions=2)


@pytest.fixture
def bare_env(kafka: str, tmp_path: Path) -> dict[str, str]:
    """The same without topics."""
    return own_env(kafka, tmp_path)


def own_env(kafka: str, folder: Path) -> dict[str, str]:
    own = uuid.uuid4().hex[:8]
    return {
        "STREAM_BOOTSTRAP_SERVERS": kafka,
        "STREAM_INPUT_TOPIC": f"text-blobs-{own}",
        "STREAM_RESULT_TOPIC": f"anagram-results-{own}",
        "STREAM_COUNT_TOPIC": f"signature-counts-{own}",
        "STREAM_DEAD_LETTER_TOPIC": f"dead-letters-{own}",
        "STREAM_GROUP_ID": f"anagram-counter-{own}",
        "STREAM_STATE_DIR": str(folder / "state"),
        "STREAM_TRANSACTION_TIMEOUT_MS": "5000",
        "STREAM_LOG_FORMAT": "json",
    }
