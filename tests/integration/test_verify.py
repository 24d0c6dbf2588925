from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from support.process import WorkerProcess
from support.topics import produce, read, wait_until

from stream.audit.verdict import Verdict
from stream.audit.verify import verify
from stream.config import Settings
from stream.run.wire import load_index

pytestmark = pytest.mark.broker


def audit(env: dict[str, str]) -> Verdict:
    names = {name.removeprefix("STREAM_").lower(): value for name, value in env.items()}
    return verify(Settings.model_validate(names, strict=False), load_index(None))


def forge(env: dict[str, str], topic: str, key: bytes, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"]})
    producer.produce(env[topic], value, key, partition=0)
    assert producer.flush(30) == 0


def test_live_worker_is_clean_and_forgeries_are_found(stream_env: dict[str, str], tmp_path: Path) -> None:
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        for _ in range(5):
            produce(stream_env, [("a", "cat act"), ("b", "listen")] * 500, partition=0)
            produce(stream_env, [(None, b"\xff")], partition=1)
            found = audit(stream_env)
            assert found.holds, found.differences
        wait_until(lambda: len(read(stream_env, "result")) == 5_000, 60)
        assert worker.stop() == 0
    found = audit(stream_env)
    assert found.holds, found.differences
    assert (found.records, found.results, found.dead_letters) == (5_005, 5_000, 5)
    first = next(record for record in read(stream_env, "result") if record.partition == 0)
    forge(stream_env, "STREAM_RESULT_TOPIC", first.key or b"", first.value or b"")
    assert audit(stream_env).duplicated == 1
    absent = orjson.loads(first.value or b"")
    absent["source"]["offset"] = 99_999
    forge(stream_env, "STREAM_RESULT_TOPIC", first.key or b"", orjson.dumps(absent))
    assert audit(stream_env).unknown == 1
    forge(stream_env, "STREAM_COUNT_TOPIC", b"act", b"7")
    found = audit(stream_env)
    assert (found.duplicated, found.unknown, found.totals, found.lost, found.wrong) == (1, 1, 1, 0, 0)
    assert any("act on partition 0 is 7" in sentence for sentence in found.differences)
