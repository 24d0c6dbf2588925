"""`--follow` waits for an unavailable broker, reports that, and resumes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.environment import SHORT_SESSIONS, own_env
from support.topics import make_topics, produce, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.tools.child_environment import environment_without_settings

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
AWAY_S = 12.0  # longer than the timeouts of the requests


def test_lag_follows_through_an_outage(tmp_path: Path) -> None:
    """librdkafka ended the process when the coordinator came back after a failed request about the group."""
    log = tmp_path / "log"
    with EmbeddedBroker(data_dir=tmp_path / "broker", properties=SHORT_SESSIONS) as broker:
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)
        produce(env, [(b"k", b"cat")], partition=0)

        def headlines() -> int:
            return log.read_text().count("lag 1")

        with (
            log.open("w") as output,
            subprocess.Popen(
                [sys.executable, "-m", "stream", "lag", "--follow", "--interval", "0.3"],
                env={**environment_without_settings(), **env},
                stdout=output,
                stderr=output,
            ) as lag,
        ):
            wait_until(lambda: headlines() > 1, 60)
            broker.kill()
            time.sleep(AWAY_S)
            broker.start()
            before = headlines()
            wait_until(lambda: lag.poll() is None and headlines() > before + 2, 60)
            lag.terminate()
    assert log.read_text().count("waiting for Kafka at") == 1
