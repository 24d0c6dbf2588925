"""With `auto.create.topics.enable=true`, Kafka's default, no command and no client creates a topic."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.environment import own_env
from support.process import WorkerProcess
from support.topics import admin_of, settings_of
from test_refusals import run

from stream.broker.embedded import EmbeddedBroker
from stream.kafka import clients, topics
from stream.kafka.topics import names

pytestmark = [pytest.mark.broker, pytest.mark.embedded]

COMMANDS = [
    "totals", "totals --top 3 --format json", "results", "dead-letters list", "dead-letters show 0:0", "lag",
    "verify", "topics check", "doctor", "offsets show", "produce {file}",
]  # fmt: skip


@pytest.fixture(scope="module")
def creating() -> Iterator[str]:
    with EmbeddedBroker(properties={"auto.create.topics.enable": "true"}) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def env(creating: str, tmp_path: Path) -> dict[str, str]:
    return own_env(creating, tmp_path)


def existing(env: dict[str, str]) -> set[str]:
    return set(admin_of(env).list_topics(timeout=10).topics) & set(names(settings_of(env)).values())


@pytest.mark.parametrize("command", COMMANDS)
def test_command_creates_no_topic(env: dict[str, str], tmp_path: Path, command: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text("cat")
    done = run(env, *command.format(file=text).split())
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not existing(env)


def test_worker_creates_no_topic(env: dict[str, str], tmp_path: Path) -> None:
    with WorkerProcess(env, tmp_path / "log") as worker:
        assert worker.wait() == 1
    assert "missing topics" in (tmp_path / "log").read_text()
    assert not existing(env)


def test_no_kind_of_client_creates_the_topic_that_it_asks_for(env: dict[str, str]) -> None:
    settings = settings_of(env)
    for client in (
        clients.make_admin(settings),
        clients.make_consumer(clients.reader_options(settings)),
        clients.make_consumer(clients.member_options(settings, "one", "classic")),
        clients.make_producer(clients.producer_options(settings)),
        clients.make_producer(clients.transactional_options(settings, "one", 1_000_000)),
    ):
        client.list_topics(settings.input_topic, 10)
    assert not existing(env)


def test_topics_create_still_gives_the_topics_their_settings(env: dict[str, str]) -> None:
    done = run(env, "topics", "create")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout
    described = topics.describe(admin_of(env), settings_of(env))
    assert described["count"].configs["cleanup.policy"] == "compact"
