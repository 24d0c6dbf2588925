"""Errors that a fault proxy between worker and broker revealed."""

import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer
from support.environment import SHORT_SESSIONS, own_env
from support.process import WorkerProcess
from support.topics import make_topics, read, settings_of, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.dictionary import load_index
from stream.tools.audit.verify import verify
from stream.tools.chaos.proxy import Api, Delay, Disconnect, FaultProxy, Rule, When

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
SEEDS = (1, 2)


class Feed(threading.Thread):
    """Produces 100 blobs/s on two partitions."""

    def __init__(self, env: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "enable.idempotence": True}
        )
        self._topic = env["STREAM_INPUT_TOPIC"]
        self.stopped = threading.Event()
        self.sent = 0

    def run(self) -> None:
        while not self.stopped.wait(0.01):
            self._producer.produce(self._topic, b"listen to the silent tinsel", b"b", self.sent % 2)
            self._producer.poll(0)
            self.sent += 1
        self._producer.flush()


@pytest.mark.parametrize("seed", SEEDS)
def test_late_responses_about_log_ends_skip_no_record(seed: int, tmp_path: Path) -> None:
    """A response about the end of a log that arrived after a seek moved the consumer past records."""
    proxy = FaultProxy()
    with (
        proxy,
        EmbeddedBroker(
            properties=SHORT_SESSIONS, listeners={"PROXIED": "PLAINTEXT"}, advertised={"PROXIED": proxy.port}
        ) as broker,
    ):
        proxy.start(broker.bound("PROXIED"))
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)
        proxy.add(Rule(Api.LIST_OFFSETS, Delay(1.2, after=True), When.probability(0.6, seed)))
        proxy.add(Rule(Api.LIST_OFFSETS, Disconnect(after=True), When.probability(0.3, seed + 7)))
        feed = Feed(env)
        feed.start()
        proxied = {**env, "STREAM_BOOTSTRAP_SERVERS": proxy.address}
        with WorkerProcess(proxied, tmp_path / "log") as worker:
            worker.wait_for("partition running", times=2, seconds=120)
            wait_until(lambda: len(read(env, "result")) > 200, 60)
            feed.stopped.set()
            feed.join()
            proxy.clear()
            wait_until(lambda: len(read(env, "result")) >= feed.sent, 20)
            assert worker.stop() == 0
        verdict = verify(settings_of(env), load_index(None))
    assert verdict.holds, verdict.differences
    assert verdict.results == feed.sent
    assert proxy.injected["LIST_OFFSETS", "delay after"] > 0
