"""The audit of the output of a real worker, and of records that were forged afterwards."""

from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from support.process import WorkerProcess
from support.topics import produce, read, wait_until

from stream.config import Settings
from stream.dictionary import load_index
from stream.ports import Checkpoint
from stream.store.rocks import RocksStore
from stream.tools.audit.stores import store_folders
from stream.tools.audit.verdict import Verdict
from stream.tools.audit.verify import Auditor, verify

pytestmark = pytest.mark.broker


def settings_of(env: dict[str, str]) -> Settings:
    names = {name.removeprefix("STREAM_").lower(): value for name, value in env.items()}
    return Settings.model_validate(names, strict=False)


def audit(env: dict[str, str]) -> Verdict:
    return verify(settings_of(env), load_index(None), state_dirs=[Path(env["STREAM_STATE_DIR"])])


def forge(env: dict[str, str], topic: str, key: bytes, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"]})
    producer.produce(env[topic], value, key, partition=0)
    assert producer.flush(30) == 0


def kinds(verdict: Verdict) -> dict[str, int]:
    return {kind: n for kind in Verdict.KINDS if (n := getattr(verdict, kind))}


def test_running_worker_is_exact_and_forgeries_are_detected(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    following = Auditor(settings_of(stream_env), load_index(None))
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        for _ in range(5):
            produce(stream_env, [("a", "cat act"), ("b", "listen")] * 500, partition=0)
            produce(stream_env, [(None, b"\xff")], partition=1)
            verdict = audit(stream_env)
            assert verdict.holds, verdict.differences
            following.run_round([Path(stream_env["STREAM_STATE_DIR"])])
            assert following.verdict.holds, following.verdict.differences
        wait_until(lambda: len(read(stream_env, "result")) == 5_000, 60)
        assert worker.stop() == 0
    following.run_round()
    for verdict in (audit(stream_env), following.verdict):
        assert verdict.holds, verdict.differences
        assert (verdict.records, verdict.results, verdict.dead_letters) == (5_005, 5_000, 5)
        assert not verdict.unchecked
    first = next(record for record in read(stream_env, "result") if record.partition == 0)
    forge(stream_env, "STREAM_RESULT_TOPIC", first.key or b"", first.value or b"")
    assert kinds(audit(stream_env)) == {"duplicated": 1}
    absent = orjson.loads(first.value or b"")
    absent["source"]["offset"] = 99_999
    forge(stream_env, "STREAM_RESULT_TOPIC", first.key or b"", orjson.dumps(absent))
    forge(stream_env, "STREAM_COUNT_TOPIC", b"act", b"7")
    verdict = audit(stream_env)
    assert kinds(verdict) == {"duplicated": 1, "unknown": 1, "totals": 1}
    assert any("act on partition 0 is 7" in sentence for sentence in verdict.differences)
    following.run_round()
    assert kinds(following.verdict) == kinds(verdict)


def test_store_with_another_total_is_detected(stream_env: dict[str, str], tmp_path: Path) -> None:
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        produce(stream_env, [("a", "cat act"), ("b", "listen")], partition=0)
        wait_until(lambda: len(read(stream_env, "result")) == 2, 60)
        assert worker.stop() == 0
    folders = {path.name: path for path in store_folders(Path(stream_env["STREAM_STATE_DIR"]))}
    store = RocksStore(folders["partition-0"])
    assert store.checkpoint is not None
    store.write({b"act": b"9"}, Checkpoint(store.checkpoint.changelog_offset, store.checkpoint.input_offset))
    store.close()
    verdict = audit(stream_env)
    assert kinds(verdict) == {"stores": 1}
    assert "the total of act on partition 0 is 9, the input gives 2, +7" in verdict.differences[0]
