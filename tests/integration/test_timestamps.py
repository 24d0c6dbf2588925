"""Event times on a real Kafka: input with any timestamp, output topics that refuse some of them."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from support.process import WorkerProcess
from support.sinks import make_sink
from support.topics import admin_of, produce, read, settings_of, totals, wait_until

from stream.core.columns import Outputs
from stream.core.event_time import TimestampLimits
from stream.core.records import OutputRecord
from stream.errors import InDoubt, Refused
from stream.kafka import clients
from stream.kafka.event_time import EventTime

pytestmark = pytest.mark.broker

HOUR = 3_600_000
FOREVER = str(2**63 - 1)
BEFORE, AFTER = "message.timestamp.before.max.ms", "message.timestamp.after.max.ms"


def configure(env: dict[str, str], topic: str, **limits_ms: str) -> None:
    """Set how far timestamps may be before and after the broker's clock."""
    names = {"before": BEFORE, "after": AFTER}
    entries = [
        ConfigEntry(names[name], value, incremental_operation=AlterConfigOpType.SET)
        for name, value in limits_ms.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, env[topic], incremental_configs=entries)
    admin = admin_of(env)
    admin.incremental_alter_configs([resource])[resource].result(30)


def now_ms() -> int:
    return int(time.time() * 1000)


def test_results_and_dead_letters_carry_the_event_time_of_their_input(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    then = now_ms() - HOUR
    for value in ("cat", None, "act"):
        produce(stream_env, [("k", value)], partition=0, timestamp=then)
    with WorkerProcess(stream_env, tmp_path / "log"):
        wait_until(lambda: len(read(stream_env, "result")) == 2, 60)
    records = [*read(stream_env, "result"), *read(stream_env, "dead-letter")]
    assert {record.timestamp_ms for record in records} == {then}
    assert not any("timestamp-ms" in name for record in records for name, _ in record.headers)


def test_timestamp_that_a_topic_refuses_is_replaced_and_kept_in_a_header(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    """Both output topics have Kafka's default limits, as if another tool created the dead-letter topic."""
    env, began = stream_env, now_ms()
    configure(env, "STREAM_INPUT_TOPIC", before=FOREVER, after=FOREVER)
    configure(env, "STREAM_DEAD_LETTER_TOPIC", before=FOREVER, after=str(HOUR))
    ahead, microseconds, oldest = began + 2 * HOUR, began * 1000, 1
    wrong = [ahead, microseconds, oldest, 2**63 - 1, -1, -5, -(2**63)]
    for timestamp in wrong:
        produce(env, [("k", None), ("k", "cat")], partition=0, timestamp=timestamp)
    produce(env, [("good", "act")], partition=0)
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_until(lambda: len(read(env, "result")) == len(wrong) + 1, 60)
        assert not worker.events("transaction aborted")
        assert [event["fix"] for event in worker.events("clocks differ")][:1] != []
    dead_letters, counted = read(env, "dead-letter"), read(env, "result")
    headers = [dict(record.headers)["dead-letter.timestamp-ms"] for record in dead_letters]
    assert headers == [str(timestamp).encode() for timestamp in wrong]
    assert [dict(record.headers).get("input-timestamp-ms") for record in counted] == [*headers, None]
    assert all(began - 1000 <= record.timestamp_ms <= now_ms() for record in [*dead_letters, *counted])


def test_limit_that_is_lowered_later_costs_one_transaction(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    env, then = stream_env, now_ms() - 5 * HOUR
    produce(env, [("k", "cat")], partition=0, timestamp=then)
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_until(lambda: len(read(env, "result")) == 1, 60)
        configure(env, "STREAM_RESULT_TOPIC", before=str(HOUR))
        produce(env, [("k", "cat"), ("k", "act")], partition=0, timestamp=then)
        wait_until(lambda: len(read(env, "result")) == 3, 60)
        (in_doubt,) = worker.events("transaction in doubt")
        assert "refused a timestamp" in in_doubt["why"]
        assert not worker.events("transaction aborted")
    kept = [dict(record.headers).get("input-timestamp-ms") for record in read(env, "result")]
    assert kept == [None, str(then).encode(), str(then).encode()]
    assert totals(env)["act"] == 3


def test_error_asks_to_synchronize_the_clock_if_the_time_of_the_machine_is_refused(
    stream_env: dict[str, str],
) -> None:
    """Its clock is two hours ahead; the result topic accepts one hour."""
    env = stream_env
    configure(env, "STREAM_RESULT_TOPIC", after=str(HOUR))
    settings = settings_of(env)
    options = clients.transactional_options(settings, "ahead", 1_000_000)
    ahead = EventTime(TimestampLimits(HOUR, HOUR), now=lambda: time.time() + 7200)
    record = OutputRecord(settings.result_topic, 0, b"key", b"value", (), now_ms())
    with closing(make_sink(settings, options, 10.0, ahead)) as sink:
        for expected in (InDoubt, Refused):
            sink.reset_producer()
            sink.begin()
            sink.produce(Outputs.of([record]))
            with pytest.raises(expected) as caught:
                sink.flush()
    assert "the time of this machine" in str(caught.value)
    assert "NTP" in str(getattr(caught.value, "hint", ""))
    assert read(env, "result") == []
