"""The sender while the broker is unavailable: the real producer, on a port where nothing listens."""

import time

import pytest
from confluent_kafka import KafkaError

from stream.config import Settings
from stream.errors import Refused, Retriable
from stream.tools.kafka import sender
from stream.tools.kafka.sender import Sender

UNREACHABLE = Settings(_env_file=None, bootstrap_servers="localhost:1")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "DELIVERY_S_MAX", 0.3)
    monkeypatch.setattr(sender, "_QUEUE_RECORDS_MAX", 10)


def send(sending: Sender, number: int) -> None:
    for one in range(number):
        sending.send(f"a:{one}", None, b"text", ())


def flush(sending: Sender) -> None:
    while not sending.flush():
        pass


def test_unavailable_broker_stops_the_delivery_and_every_record_is_reported() -> None:
    sending = Sender(UNREACHABLE, None)
    send(sending, 10)
    with pytest.raises(Retriable):
        flush(sending)
    sending.discard()
    assert sending.delivered == 0
    assert sorted(one.origin for one in sending.take_undelivered()) == [f"a:{number}" for number in range(10)]
    assert not sending.take_undelivered()


def test_send_waits_while_the_queue_is_full_until_its_records_time_out() -> None:
    sending = Sender(UNREACHABLE, None)
    started = time.monotonic()
    with pytest.raises(Retriable):
        send(sending, 1000)
    assert time.monotonic() - started < 5


def test_record_above_the_limit_is_undelivered_with_a_hint_and_later_ones_are_sent() -> None:
    sending = Sender(UNREACHABLE, 1000)
    sending.send("a:1", None, b"x" * (sending.record_bytes_max + 1), ())
    sending.send("a:2", None, b"text", ())
    (undelivered,) = sending.take_undelivered()
    assert undelivered.origin == "a:1"
    assert "1,000" in undelivered.why
    assert "STREAM_TEXT_BYTES_MAX" in undelivered.hint


def test_discarded_records_are_undelivered() -> None:
    sending = Sender(UNREACHABLE, None)
    sending.send("a:1", None, b"text", ())
    sending.discard()
    assert [one.origin for one in sending.take_undelivered()] == ["a:1"]


def test_wait_stops_at_the_given_time_or_with_a_failure() -> None:
    sending = Sender(UNREACHABLE, None)
    started = time.monotonic()
    sending.wait_until(started + 0.05)
    assert 0.05 <= time.monotonic() - started < 1
    sending.send("a:1", None, b"text", ())
    with pytest.raises(Retriable):
        sending.wait_until(started + 60)


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_recreated_topic_is_not_reported_as_an_unavailable_broker(code: int) -> None:
    sending = Sender(UNREACHABLE, None)
    sending._add_undelivered("a:1", 4, KafkaError(code))
    with pytest.raises(Refused, match="text-blobs was deleted, or created again") as caught:
        sending.flush()
    assert "topics check" in caught.value.hint
