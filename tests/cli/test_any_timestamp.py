"""No command fails on a timestamp that Kafka accepts: any signed 64-bit integer."""

import pytest
from cli.running import Cli
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from support.topics import admin_of

from stream.cli.dead_letter_view import _timestamp

TIMESTAMPS = [-(2**63), -62_135_596_800_001, -5, -1, 1, 253_402_300_800_000, 1_756_000_000_000_000, 2**63 - 1]
NO_LIMITS = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms")


@pytest.mark.parametrize(
    ("timestamp_ms", "shown"),
    [
        (-1, "none"),
        (-5, "1969-12-31T23:59:59.995+00:00"),
        (0, "1970-01-01T00:00:00.000+00:00"),
        (1_800_000_000_001, "2027-01-15T08:00:00.001+00:00"),
        (1_756_000_000_000_000, "1756000000000000 ms, not a date"),
        (2**63 - 1, "9223372036854775807 ms, not a date"),
        (-(2**63), "-9223372036854775808 ms, not a date"),
    ],
)
def test_timestamp_is_a_date_or_raw(timestamp_ms: int, shown: str) -> None:
    assert _timestamp(timestamp_ms) == shown


@pytest.fixture
def stamped(stream_env: dict[str, str]) -> dict[str, str]:
    """Input, results and dead letters with each of the timestamps; no input is counted."""
    producer = Producer({"bootstrap.servers": stream_env["STREAM_BOOTSTRAP_SERVERS"]})
    admin = admin_of(stream_env)
    for role in ("INPUT", "RESULT", "DEAD_LETTER"):
        topic = stream_env[f"STREAM_{role}_TOPIC"]
        entries = [
            ConfigEntry(name, str(2**63 - 1), incremental_operation=AlterConfigOpType.SET)
            for name in NO_LIMITS
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        admin.incremental_alter_configs([resource])[resource].result(30)
        for timestamp_ms in TIMESTAMPS:
            producer.produce(topic, "cat", "key", 0, timestamp=timestamp_ms)
    assert producer.flush(30) == 0
    return stream_env


@pytest.mark.broker
@pytest.mark.parametrize(
    "command",
    [
        *("lag", "lag --format json", "results", "totals", "doctor", "offsets show"),
        *("dead-letters list", "dead-letters list --format json", "verify", "topics check"),
        *(f"dead-letters show 0:{offset}" for offset in range(len(TIMESTAMPS))),
    ],
)
def test_no_command_fails_on_a_timestamp(command: str, stamped: dict[str, str], cli: Cli) -> None:
    env = {name: value for name, value in stamped.items() if name != "STREAM_DICTIONARY"}
    done = cli(*command.split(), env=env)
    assert done.status in {0, 1}, done.err  # 1: `verify` and `doctor` report problems
    assert "Traceback" not in done.err


@pytest.mark.broker
def test_age_is_unknown_without_a_timestamp(stream_env: dict[str, str], cli: Cli) -> None:
    producer = Producer({"bootstrap.servers": stream_env["STREAM_BOOTSTRAP_SERVERS"]})
    producer.produce(stream_env["STREAM_INPUT_TOPIC"], "cat", partition=0, timestamp=-1)
    assert producer.flush(30) == 0
    _, row, *_ = cli("lag", env=stream_env).rows
    assert (row[3], row[4]) == ("1", "-")
