"""If the queue is full, records are produced later: each exactly once and in order."""

from typing import Any, cast

import pytest
from support.topics import settings_of

from stream.core.columns import Outputs
from stream.core.records import OutputRecord
from stream.kafka import clients, topics
from stream.kafka.offsets import Offsets
from stream.kafka.output_logs import OutputLogs
from stream.kafka.sink import KafkaSink
from stream.kafka.topic_watch import TopicWatch

CHANGES = {b"key%d" % number: b"%d" % number for number in range(1, 8)}


class Client:
    """Refuses a record once for each number in `refused`, after that many records were taken."""

    def __init__(self, refused: set[int]) -> None:
        self.taken: list[tuple[bytes, bytes]] = []
        self.polls = 0
        self._refused = refused

    def produce(self, _topic: str, value: bytes, key: bytes, _partition: int, **_options: Any) -> None:
        if len(self.taken) in self._refused:
            self._refused.discard(len(self.taken))
            raise BufferError
        self.taken.append((key, value))

    def begin_transaction(self) -> None:
        pass

    def poll(self, _wait_s: float) -> None:
        self.polls += 1


@pytest.mark.parametrize("refused", [set[int](), {0}, {3}, {5}, {6}, {0, 1, 5, 6}])
def test_changelog_is_whole_and_in_order(refused: set[int]) -> None:
    client = Client(refused)
    sink = sink_of(client)
    sink.produce_changelog(0, CHANGES, [])
    sink._burst.release()
    assert client.taken == list(CHANGES.items())
    assert not refused


def test_reports_are_taken_even_if_only_dead_letters_are_produced() -> None:
    client = Client(set())
    sink = sink_of(client)
    sink._partitions[settings_of({}).dead_letter_topic] = 1
    dead_letter = OutputRecord(settings_of({}).dead_letter_topic, 0, b"k", b"v")
    for _ in range(3):
        sink.produce(Outputs.of((), [dead_letter]))
    assert client.polls >= 3  # librdkafka keeps each record until its report is taken


def sink_of(client: Client) -> KafkaSink:
    """Return a sink with this client, in a transaction."""
    settings = settings_of({})
    sink = KafkaSink(
        clients.transactional_options(settings, "one", 1_000),
        topics.names(settings),
        5.0,
        TopicWatch(lambda: clients.make_admin(settings), topics.names(settings), {}),
        OutputLogs({}, Offsets(lambda: clients.make_admin(settings)), {}),
    )
    sink._producer = cast("Any", client)
    sink.begin()
    return sink
