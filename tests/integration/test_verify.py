"""The audit of the output of a real worker, and of records that were forged later."""

from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from support.environment import own_env
from support.process import WorkerProcess
from support.topics import admin_of, make_topics, produce, read, wait_until

from stream.config import Settings
from stream.dictionary import load_index
from stream.errors import Retriable
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


def commit(env: dict[str, str], offsets: dict[int, int]) -> None:
    """Commit offsets like a consumer that is not a worker."""
    consumer = Consumer(
        {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "group.id": env["STREAM_GROUP_ID"]}
    )
    topic = env["STREAM_INPUT_TOPIC"]
    consumer.commit(
        offsets=[TopicPartition(topic, p, offset) for p, offset in offsets.items()], asynchronous=False
    )
    consumer.close()


@pytest.fixture
def counted_env(kafka: str, tmp_path: Path) -> dict[str, str]:
    """Settings of a pipeline with four partitions; three records of partition 1 are counted."""
    env = make_topics(own_env(kafka, tmp_path), partitions=4)
    with WorkerProcess(env, tmp_path / "log") as worker:
        produce(env, [("a", "cat"), ("b", "silent"), ("c", "cat")], partition=1)
        wait_until(lambda: len(read(env, "result")) == 3, 60)
        assert worker.stop() == 0
    return env


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
    assert "the total of act on partition 0 is 9, but the input sums to 2 (+7)" in verdict.differences[0]


def test_input_that_a_stranger_skipped_is_lost_on_every_partition(
    counted_env: dict[str, str],
) -> None:
    for partition in (0, 1, 3):
        produce(counted_env, [("d", "listen")], partition=partition)
    verdict = audit(counted_env)
    assert verdict.holds
    assert (verdict.checked, verdict.pending) == (3, 3)
    assert [each.pending for each in verdict.partitions.values()] == [1, 1, 0, 1]
    assert verdict.partitions[1].stores_compared == 1
    assert verdict.partitions[1].totals == 2
    commit(counted_env, {0: 1, 1: 4, 3: 1})
    verdict = audit(counted_env)
    assert kinds(verdict) == {"lost": 3}
    assert verdict.differences == [
        f"partition {partition}: input {offset}: no result and no dead letter"
        for partition, offset in ((0, 0), (1, 3), (3, 0))
    ]
    assert (verdict.checked, verdict.pending) == (6, 0)


def test_totals_of_a_group_that_a_stranger_moved_back_are_a_difference(counted_env: dict[str, str]) -> None:
    commit(counted_env, {1: 1})
    verdict = audit(counted_env)
    assert kinds(verdict)["totals"] >= 1
    assert any("the committed offset is 1: it was moved back" in each for each in verdict.differences)


def test_outcomes_that_retention_deleted_are_not_checked_and_not_lost(counted_env: dict[str, str]) -> None:
    topic = counted_env["STREAM_RESULT_TOPIC"]
    admin = admin_of(counted_env)
    for future in admin.delete_records([TopicPartition(topic, 1, 3)]).values():
        future.result(30)  # a transaction marker remains
    verdict = audit(counted_env)
    assert verdict.holds, verdict.differences
    assert (verdict.checked, verdict.not_checked) == (0, 3)
    assert verdict.partitions[1].totals is None
    assert any(f"{topic}, partition 1, starts at 3" in sentence for sentence in verdict.unchecked)
    produce(counted_env, [("d", "listen")], partition=1)
    commit(counted_env, {1: 4})
    verdict = audit(counted_env)
    assert kinds(verdict) == {"lost": 1}, "no transaction counted it, so it never had an outcome"
    assert verdict.not_checked == 3


def test_round_that_fails_is_repeated_from_the_beginning(
    counted_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    auditor = Auditor(settings_of(counted_env), load_index(None))
    auditor.run_round()

    def fail(*_: object) -> None:
        raise Retriable("no broker")

    with monkeypatch.context() as patch:
        patch.setattr(Auditor, "_count_pending", fail)
        with pytest.raises(Retriable):
            auditor.run_round()
    auditor.run_round()
    assert auditor.verdict.holds, auditor.verdict.differences
    assert (auditor.verdict.records, auditor.verdict.results) == (3, 3)
