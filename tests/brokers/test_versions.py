"""The pipeline on each supported version of Kafka: `hatch run test:brokers`, or `pytest tests/brokers`.

`--kafka 3.5.2,4.4.0` chooses versions; the default is the oldest and the newest.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.environment import own_env
from support.process import WorkerProcess
from support.topics import produce, read, settings_of, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.dictionary import load_index
from stream.tools.audit.verify import verify
from stream.tools.child_environment import environment_without_settings

pytestmark = [pytest.mark.broker, pytest.mark.embedded, pytest.mark.timeout(300)]
TEXTS = [b"listen to the silent tinsel", b"a cat acts", b"\xff\xfe broken", b"eat tea"]


@pytest.fixture(scope="module")
def broker(kafka_version: str) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(kafka=kafka_version) as running:  # with Kafka's default group settings
        yield running


@pytest.fixture
def env(broker: EmbeddedBroker, tmp_path: Path) -> dict[str, str]:
    return own_env(broker.bootstrap_servers, tmp_path)


def run(env: dict[str, str], *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stream", *arguments],
        env={**environment_without_settings(), **env},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def feed(env: dict[str, str], rounds: int) -> int:
    produce(env, [(b"%d" % number, text) for number in range(rounds) for text in TEXTS])
    return rounds * len(TEXTS)


def outcomes(env: dict[str, str]) -> int:
    return len(read(env, "result")) + len(read(env, "dead-letter"))


def test_topics_are_created_and_everything_is_healthy(env: dict[str, str]) -> None:
    created = run(env, "topics", "create", "--partitions", "2")
    assert all(settings_of(env).model_dump()[f"{role}_topic"] in created for role in ("input", "result"))
    run(env, "topics", "check")
    assert "group protocol" in run(env, "doctor")


def test_counts_are_exact_after_kills_and_a_lost_state_folder(env: dict[str, str], tmp_path: Path) -> None:
    run(env, "topics", "create", "--partitions", "2")
    sent = feed(env, 200)
    with WorkerProcess(env, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        wait_until(lambda: outcomes(env) > 0, 60)
        worker.kill()
        sent += feed(env, 200)
        shutil.rmtree(env["STREAM_STATE_DIR"])
        worker.start()
        worker.wait_for("group protocol", times=2)
        wait_until(lambda: outcomes(env) == sent, 120)
        assert worker.stop() == 0
    verdict = verify(settings_of(env), load_index(None), state_dirs=[Path(env["STREAM_STATE_DIR"])])
    assert verdict.holds, verdict.differences
    assert verdict.results == sent * 3 // 4
    assert "undecodable" in run(env, "dead-letters", "list")
    assert "lag 0" in run(env, "lag")
    run(env, "offsets", "show")
    run(env, "doctor")


def test_protocol_that_the_brokers_lack_stops_the_worker_with_the_fix(
    env: dict[str, str], kafka_version: str
) -> None:
    if not kafka_version.startswith("3."):
        pytest.skip("these brokers support both")
    run(env, "topics", "create", "--partitions", "2")
    refused = run({**env, "STREAM_GROUP_PROTOCOL": "consumer"}, "worker", status=1)
    assert "the brokers support only classic" in refused
    assert "unset STREAM_GROUP_PROTOCOL" in refused


def test_demo_counts_exactly(env: dict[str, str]) -> None:
    given = {"STREAM_BOOTSTRAP_SERVERS": env["STREAM_BOOTSTRAP_SERVERS"]}
    assert "exactly once" in run(given, "demo", "--rounds", "1")
