"""What becomes of records when the broker is away: the real producer, at a port where nobody listens."""

import time

import pytest

from stream.config import Settings
from stream.errors import Retriable
from stream.tools.kafka import sender
from stream.tools.kafka.sender import Sender

NOBODY = Settings(_env_file=None, bootstrap_servers="localhost:1")


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


def test_broker_that_stays_away_is_given_up_on_and_every_record_is_accounted_for() -> None:
    sending = Sender(NOBODY, None)
    send(sending, 10)
    with pytest.raises(Retriable):
        flush(sending)
    sending.drop()
    assert sending.delivered == 0
    assert sorted(one.where for one in sending.take_undelivered()) == [f"a:{number}" for number in range(10)]
    assert not sending.take_undelivered()


def test_full_queue_waits_and_ends_with_the_time_limit_of_its_records() -> None:
    sending = Sender(NOBODY, None)
    began = time.monotonic()
    with pytest.raises(Retriable):
        send(sending, 1000)
    assert time.monotonic() - began < 5


def test_record_that_the_client_refuses_is_undelivered_with_its_mend_and_the_next_ones_go_on() -> None:
    sending = Sender(NOBODY, 1000)
    sending.send("a:1", None, b"x" * (sending.record_bytes_max + 1), ())
    sending.send("a:2", None, b"text", ())
    (refused,) = sending.take_undelivered()
    assert refused.where == "a:1"
    assert "1,000" in refused.why
    assert "STREAM_TEXT_BYTES_MAX" in refused.hint


def test_dropped_records_are_undelivered() -> None:
    sending = Sender(NOBODY, None)
    sending.send("a:1", None, b"text", ())
    sending.drop()
    assert [one.where for one in sending.take_undelivered()] == ["a:1"]


def test_waiting_for_a_moment_ends_at_it_or_with_a_failure() -> None:
    sending = Sender(NOBODY, None)
    began = time.monotonic()
    sending.wait_until(began + 0.05)
    assert 0.05 <= time.monotonic() - began < 1
    sending.send("a:1", None, b"text", ())
    with pytest.raises(Retriable):
        sending.wait_until(began + 60)
