"""The fake cluster must behave like real Kafka: short traces on both must agree.

`hatch run calibrate` runs more of them.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.environment import SHORT_SESSIONS, SOON_ABORTED, own_env
from support.topics import make_topics
from support.traces import Trace
from support.worlds import FakeWorld, KafkaWorld, Sight

from stream.broker.embedded import EmbeddedBroker
from stream.core.columns import Outputs
from stream.core.records import OutputRecord
from stream.errors import InDoubt
from stream.kafka.sink import KafkaSink
from stream.ports import Sink
from stream.testing.sink import FakeSink
from stream.tools.chaos.proxy import Api, Delay, FaultProxy, Rule, When

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
TRACES = int(os.environ.get("TRACES", "3"))
STEPS, PARTITIONS = 25, 2
LATE_S = 3.0


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
@pytest.mark.parametrize("seed", range(TRACES))
def test_fake_and_kafka_agree(bare_env: dict[str, str], protocol: str, seed: int) -> None:
    env = make_topics({**bare_env, "STREAM_GROUP_PROTOCOL": protocol}, PARTITIONS)
    fake = FakeWorld(PARTITIONS, classic=protocol == "classic")
    trace = Trace(seed, fake, KafkaWorld(env, PARTITIONS), PARTITIONS)
    try:
        trace.run(STEPS)
    finally:
        trace.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[FaultProxy, dict[str, str]]]:
    """A proxy in front of a broker, and settings that connect through it."""
    with (
        FaultProxy() as proxy,
        EmbeddedBroker(
            properties=SHORT_SESSIONS | SOON_ABORTED,
            listeners={"PROXIED": "PLAINTEXT"},
            advertised={"PROXIED": proxy.port},
        ) as broker,
    ):
        proxy.start(broker.bound("PROXIED"))
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), PARTITIONS)
        yield proxy, {**env, "STREAM_BOOTSTRAP_SERVERS": proxy.address}


def test_a_late_commit_has_the_same_effect_on_both(
    held: tuple[FaultProxy, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """KAFKA-17754: a delayed EndTxn arrives during the next transaction of its id, and must not end it."""
    proxy, env = held
    fake, real = FakeWorld(PARTITIONS, classic=False, timeout_s=60.0), KafkaWorld(env, PARTITIONS)
    late, slow = fake.sink("id"), real.sink("id")
    assert isinstance(late, FakeSink)
    assert isinstance(slow, KafkaSink)
    late.reset_producer()
    slow.reset_producer()
    late.faults.plan_late("sink.commit", LATE_S)
    proxy.add(Rule(Api.END_TXN, Delay(LATE_S), When.once()))
    monkeypatch.setattr(slow, "_timeout_s", 1.0)
    seen = [carry_on(fake, late), carry_on(real, slow)]
    assert proxy.injected["END_TXN", "delay before"] == 1
    assert seen[0] == seen[1]
    slow.close()
    real.close()


def carry_on(world: FakeWorld | KafkaWorld, sink: Sink) -> list[Sight]:
    """Give up a commit, continue with a new producer, wait for the late commit, commit the next one."""
    write(world, sink, b"first")
    with pytest.raises(InDoubt):
        sink.commit()
    if isinstance(sink, KafkaSink):
        sink._timeout_s = 60.0
    sink.reset_producer()
    write(world, sink, b"second")
    if isinstance(world, FakeWorld):
        world.cluster.clock.advance(LATE_S)
    else:
        time.sleep(LATE_S)
    seen = [world.inspect(world.names.results, 0)]
    sink.commit()
    return [*seen, settled(world)]


def settled(world: FakeWorld | KafkaWorld) -> Sight:
    """Inspect the partition once no transaction is open; its two ends come from separate requests."""
    while (sight := world.inspect(world.names.results, 0)).stable != sight.end:
        time.sleep(0.05)
    return sight


def write(world: FakeWorld | KafkaWorld, sink: Sink, value: bytes) -> None:
    sink.begin()
    sink.produce(Outputs.of([OutputRecord(world.names.results, 0, b"k", value)]))
    world.flush(sink)
