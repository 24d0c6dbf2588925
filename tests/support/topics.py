"""Creates, fills and reads the topics of a test."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import orjson
from confluent_kafka import Producer

from stream.config import Settings
from stream.core.processed_offset import PROCESSED_KEY
from stream.errors import Retriable
from stream.kafka import clients, topics
from stream.tools.kafka.topic_creation import create_topics
from stream.tools.kafka.topic_reader import StoredRecord, read_topic

T = TypeVar("T")
QUEUED_RECORDS_MAX = 20_000


def settings_of(env: dict[str, str], **overrides: Any) -> Settings:
    """Return the settings of a test's environment, independently of the environment of this process."""
    values = {name.removeprefix("STREAM_").lower(): value for name, value in env.items()}
    return Settings(_env_file=None, **{**values, **overrides})


def admin_of(env: dict[str, str]) -> clients.Admin:
    return clients.make_admin(settings_of(env))


def make_topics(env: dict[str, str], partitions: int) -> dict[str, str]:
    create_topics(admin_of(env), settings_of(env), partitions, None, repair=False)
    return env


def produce(
    env: dict[str, str], records: Iterable[tuple[bytes | str | None, bytes | str | None]], **options: Any
) -> None:
    """Produce (key, value) pairs to the input topic."""
    producer = Producer(
        {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "message.max.bytes": 20_000_000}
    )
    for key, value in records:
        while len(producer) >= QUEUED_RECORDS_MAX:
            producer.poll(0.1)
        producer.produce(env["STREAM_INPUT_TOPIC"], value, key, **options)
        producer.poll(0)
    assert producer.flush(60) == 0


def read(env: dict[str, str], role: str) -> list[StoredRecord]:
    """Return all committed records of one of the four topics."""
    settings = settings_of(env)
    name = topics.names(settings)[role]
    return list(read_topic(clients.reader_options(settings), admin_of(env), name))


def results(env: dict[str, str]) -> list[dict[str, Any]]:
    return [orjson.loads(record.value or b"") for record in read(env, "result")]


def totals(env: dict[str, str]) -> dict[str, int]:
    """Return the totals: the last value per partition and key, summed over partitions."""
    last = {(r.partition, r.key): r.value for r in read(env, "count") if r.key != PROCESSED_KEY}
    summed: Counter[str] = Counter()
    for (_, key), value in last.items():
        summed[(key or b"").decode()] += int(value or b"")
    return dict(summed)


def wait_until(condition: Callable[[], Any], seconds: float, every: float = 0.2) -> None:
    """Wait until `condition` is true; ignore an unavailable broker meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except Retriable:
            pass
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)


def plain_words(text: str) -> list[str]:
    """Split a text into words, independently of the core."""
    spaced = text.replace("-", " ")
    kept = "".join(c for c in spaced if c.isspace() or re.fullmatch("[A-Za-z0-9]", c))
    return [word.lower() for word in kept.split()]


def plain_totals(texts: Iterable[str], dictionary: Sequence[str]) -> dict[str, int]:
    """Count the totals of texts, independently of the core."""
    known = {"".join(sorted(word)) for word in dictionary}
    memo: dict[str, str] = {}
    counted: Counter[str] = Counter()
    for text in texts:
        for word in plain_words(text):
            if word not in memo:
                memo[word] = "".join(sorted(word))
            if memo[word] in known:
                counted[memo[word]] += 1
    return dict(counted)
