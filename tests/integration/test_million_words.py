"""Two workers count 1,000,000 words while one is killed three times and the broker is bounced once."""

import json
import time
from pathlib import Path

import pytest
from support.bounce import kill_between_ends
from support.environment import SHORT_SESSIONS, own_env
from support.load import Load, judge, texts
from support.process import WorkerProcess
from support.topics import make_topics, wait_until
from test_faults import with_protocol

from stream.broker.embedded import EmbeddedBroker

BLOBS = 10_000
WORDS = 100
SECONDS = 45


@pytest.mark.broker
@pytest.mark.embedded
@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_million_words_are_counted_exactly_once_through_kills_and_a_bounce(
    tmp_path: Path, protocol: str
) -> None:
    blobs = texts(BLOBS, WORDS)
    with EmbeddedBroker(properties=SHORT_SESSIONS, heap_mib=768) as broker:
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=4)
        env = with_protocol(env, protocol, tmp_path)
        victim, other = WorkerProcess(env, tmp_path / "victim"), WorkerProcess(env, tmp_path / "other")
        with victim, other:
            wait_until(lambda: victim.events("partition running") and other.events("partition running"), 60)
            with Load(env, blobs, SECONDS) as load:
                for share in (0.15, 0.4, 0.8):
                    load.wait_for(share)
                    victim.kill()
                    victim.start()
                    if share == 0.4:
                        load.wait_for(0.6)
                        kill_between_ends(broker, victim, other)
                        time.sleep(1)
                        broker.start()
            judge(env, blobs, 240)
            assert victim.stop() == 0
            assert other.stop() == 0
    restored = [event["restored_records"] for event in victim.events("partition running")]
    print(json.dumps({"protocol": protocol, "words": BLOBS * WORDS, "restored per start": restored}))  # noqa: T201
