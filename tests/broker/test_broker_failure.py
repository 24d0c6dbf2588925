from pathlib import Path

import pytest

from stream.broker.failure import not_started, tail
from stream.errors import Fatal, Misconfigured, Refused

CAUSES = [
    ("java.io.IOException: No space left on device", "the disk is full", Refused),
    ("KafkaException: Failed to acquire lock on file .lock in /data", "another broker", Refused),
    (
        "KafkaException: Socket server failed to bind to localhost:9092: Address already in use.",
        "port",
        Refused,
    ),
    ("java.lang.OutOfMemoryError: Java heap space", "memory", Refused),
    ("Error occurred during initialization of VM\nToo small maximum heap", "memory", Refused),
    ("java.lang.UnsupportedClassVersionError: kafka/Kafka", "this Java", Misconfigured),
    ("java.nio.file.AccessDeniedException: /data/kafka", "cannot be written", Misconfigured),
    (
        "java.lang.RuntimeException: Stored node id 2 doesn't match previous node id 1",
        "another broker",
        Refused,
    ),
    ("org.apache.kafka.common.config.ConfigException: Invalid value", "properties", Misconfigured),
]


@pytest.mark.parametrize(("log", "cause", "kind"), CAUSES)
def test_the_cause_is_found_in_the_log(log: str, cause: str, kind: type[Refused | Misconfigured]) -> None:
    error = not_started("the broker did not start", f"INFO starting\n{log}\nINFO shut down")
    assert type(error) is kind
    assert isinstance(error, (Refused, Misconfigured))
    assert cause in str(error)
    assert log.splitlines()[0] in str(error)
    assert error.hint


def test_the_cause_is_shown_even_before_a_long_clean_shutdown() -> None:
    shutdown = "".join(
        f"2026-11-23T17:00:54,487 INFO part {number} shut down (kafka)\n" for number in range(500)
    )
    trouble = "2026-11-23T17:00:54,480 ERROR Exiting Kafka\njava.net.BindException: Address already in use\n"
    stack = "".join(f"\tat kafka.server.Part.start(Part.java:{number})\n" for number in range(50))
    shown = str(not_started("the broker did not start", shutdown + trouble + stack + shutdown)).splitlines()
    assert "a port was taken" in shown[0]
    assert shown[1:3] == [f"  | {line}" for line in trouble.splitlines()]
    assert "part 499" in shown[-1]
    assert len(shown) < 25


def test_without_a_known_cause_the_log_is_shown() -> None:
    error = not_started("the broker did not start", "ERROR out of luck")
    assert type(error) is Fatal
    assert "ERROR out of luck" in str(error)


def test_the_tail_of_a_log_is_bounded_and_empty_without_a_log(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    assert tail(log, 3) == ""
    log.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(100_000)))
    assert [line.split()[1] for line in tail(log, 3).splitlines()] == ["99997", "99998", "99999"]


def test_the_tail_starts_at_this_run(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("before\nafter\n", "utf-8")
    assert tail(log, 10, since_byte=7) == "after"
    assert tail(log, 10, since_byte=13) == ""
    assert tail(log, 10, since_byte=1000) == "before\nafter", "the log was rolled over"
