"""A producer that finds no broker is replaced: it may have lost its brokers for good (librdkafka#5301)."""

from typing import Any, cast

import pytest
from confluent_kafka import Producer
from support.topics import settings_of

from stream.errors import Retriable
from stream.kafka import clients, topics
from stream.kafka import sink as sink_module
from stream.kafka.clients import Options
from stream.kafka.offsets import Offsets
from stream.kafka.output_logs import OutputLogs
from stream.kafka.sink import KafkaSink
from stream.kafka.topic_watch import TopicWatch


def test_producer_that_finds_no_broker_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[Producer]()

    def make_producer(options: Options) -> Producer:
        made.append(clients.make_producer(options))
        return made[-1]

    monkeypatch.setattr(sink_module, "RESET_S_MAX", 0.1)
    monkeypatch.setattr(sink_module, "make_producer", make_producer)
    settings = settings_of({"STREAM_BOOTSTRAP_SERVERS": "localhost:1"})
    names, offsets = topics.names(settings), Offsets(lambda: clients.make_admin(settings))
    options = clients.transactional_options(settings, "one", 1_000)
    sink = KafkaSink(
        options,
        names,
        1.0,
        TopicWatch(lambda: clients.make_admin(settings), names, {}),
        OutputLogs(clients.reader_options(settings), offsets, names),
    )
    for attempt in (1, 2):
        with pytest.raises(Retriable, match="not available yet"):
            sink.reset_producer()
        assert len(made) == attempt


def test_admin_clients_are_replaced_after_a_failed_transaction() -> None:
    """A client from before a failover waits 5 s for the dead broker, so every check would wait."""
    made = list[clients.Admin]()

    def make_admin() -> clients.Admin:
        made.append(clients.make_admin(settings))
        return made[-1]

    settings = settings_of({"STREAM_BOOTSTRAP_SERVERS": "localhost:1"})
    names, offsets = topics.names(settings), Offsets(make_admin)
    watch = TopicWatch(make_admin, names, {})
    options = clients.transactional_options(settings, "one", 1_000)
    sink = KafkaSink(options, names, 1.0, watch, OutputLogs({}, offsets, names))
    sink._producer = cast("Any", NoTransaction())
    offsets._admin = watch._admin = make_admin()
    sink.abort()
    assert offsets._admin is watch._admin is None


class NoTransaction:
    def abort_transaction(self, _timeout_s: float) -> None:
        pass
