import pytest
from cli.running import Cli
from support.topics import admin_of, settings_of

from stream.tools.kafka.brokers import group_session

pytestmark = pytest.mark.broker


def test_replication_of_existing_topics_is_kept_and_reported(cli: Cli, stream_env: dict[str, str]) -> None:
    done = cli("topics", "create", "--replication", "3", env=stream_env)
    assert done.status == 0
    assert f"left {stream_env['STREAM_INPUT_TOPIC']} at 1 replica: --replication applies to new" in done.out
    assert "nothing to do" not in done.out
    assert "nothing to do" in cli("topics", "create", "--replication", "1", env=stream_env).out


@pytest.mark.parametrize(("protocol", "session_s"), [("consumer", None), ("classic", 45.0)])
def test_session_timeout_of_a_group_is_returned(
    protocol: str, session_s: float | None, stream_env: dict[str, str]
) -> None:
    """`bench` shows it: a recovery of dynamic members waits for it. The broker sets it for `consumer`."""
    settings = settings_of({**stream_env, "STREAM_GROUP_PROTOCOL": protocol})
    used, seconds = group_session(admin_of(stream_env), settings)
    assert used == protocol
    assert seconds == session_s if session_s else seconds
