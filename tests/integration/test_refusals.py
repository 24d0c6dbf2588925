"""A worker that must not start or continue reports the cause and the fix."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewPartitions, NewTopic  # type: ignore[attr-defined]
from support.process import WorkerProcess
from support.topics import admin_of, make_topics, produce, read, settings_of, totals, wait_until

from stream.kafka import topics

pytestmark = pytest.mark.broker


def run(env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "stream", *command],
        env={**base, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def commit(env: dict[str, str], offset: int) -> None:
    """Change the committed offset of partition 0, as a reset of the group's offsets does."""
    consumer = Consumer(
        {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "group.id": env["STREAM_GROUP_ID"]}
    )
    consumer.commit(offsets=[TopicPartition(env["STREAM_INPUT_TOPIC"], 0, offset)], asynchronous=False)
    consumer.close()


def count_some(env: dict[str, str], folder: Path) -> None:
    """Let a worker count three blobs on partition 0 and stop."""
    produce(env, [(None, "cat")] * 3, partition=0)
    with WorkerProcess(env, folder / "first") as worker:
        wait_until(lambda: len(read(env, "result")) >= 3, 60)
        assert worker.stop() == 0


def refused(env: dict[str, str], folder: Path) -> str:
    """Start a worker that must refuse; return its error and its hint."""
    with WorkerProcess(env, folder / "refused") as worker:
        assert worker.wait() == 1, worker.log.read_text()
        text = worker.log.read_text()
    assert "Traceback" not in text
    assert "fix:" in text
    (failed,) = worker.events("worker failed")
    return str(failed["error"]) + str(failed["fix"])


def test_missing_topics_are_refused(bare_env: dict[str, str], tmp_path: Path) -> None:
    error = refused(bare_env, tmp_path)
    assert "missing topics" in error
    assert "anagram-stream topics create" in error
    assert run(bare_env, "topics", "check").returncode == 1
    created = run(bare_env, "topics", "create", "--partitions", "3")
    assert created.returncode == 0, created.stderr
    assert run(bare_env, "topics", "check").returncode == 0
    assert "nothing to do" in run(bare_env, "topics", "create").stdout


def test_count_topic_without_compaction_is_refused(bare_env: dict[str, str], tmp_path: Path) -> None:
    admin = admin_of(bare_env)
    admin.create_topics([NewTopic(bare_env["STREAM_COUNT_TOPIC"], 2, 1)])[
        bare_env["STREAM_COUNT_TOPIC"]
    ].result()
    wait_until(lambda: "count" in topics.describe(admin_of(bare_env), settings_of(bare_env)), 20)
    make_topics(bare_env, 2)
    assert "compact" in refused(bare_env, tmp_path)
    assert run(bare_env, "topics", "create", "--repair").returncode == 0
    wait_until(lambda: run(bare_env, "topics", "check").returncode == 0, 20)


def test_count_topic_with_fewer_partitions_than_the_input_is_refused(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    grow_input(stream_env, 3)
    assert "partitions" in refused(stream_env, tmp_path)


def test_reset_offsets_are_refused(stream_env: dict[str, str], tmp_path: Path) -> None:
    count_some(stream_env, tmp_path)
    commit(stream_env, 1)
    assert "count the input from 1 to before" in refused(stream_env, tmp_path)


def test_renamed_group_is_refused(stream_env: dict[str, str], tmp_path: Path) -> None:
    count_some(stream_env, tmp_path)
    error = refused({**stream_env, "STREAM_GROUP_ID": "another-" + stream_env["STREAM_GROUP_ID"]}, tmp_path)
    assert "STREAM_GROUP_ID was changed" in error


def test_another_dictionary_is_refused_with_and_without_the_store(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    count_some(stream_env, tmp_path)
    words = tmp_path / "words"
    words.write_text("cat\nact\n")
    env = {**stream_env, "STREAM_DICTIONARY": str(words)}
    assert "another dictionary" in refused(env, tmp_path)
    assert "another dictionary" in refused(
        {**env, "STREAM_STATE_DIR": str(tmp_path / "new")}, tmp_path / ".."
    )


def test_replaced_count_topic_is_refused(stream_env: dict[str, str], tmp_path: Path) -> None:
    count_some(stream_env, tmp_path)
    env = {**stream_env, "STREAM_COUNT_TOPIC": stream_env["STREAM_COUNT_TOPIC"] + "-new"}
    make_topics(env, 2)
    assert "not the same topic as before" in refused(env, tmp_path)


def test_committed_offset_below_the_start_of_the_log_is_refused(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    count_some(stream_env, tmp_path)
    produce(stream_env, [(None, "cat")] * 3, partition=0)
    new_start = TopicPartition(stream_env["STREAM_INPUT_TOPIC"], 0, 5)
    admin = admin_of(stream_env)
    next(iter(admin.delete_records([new_start]).values())).result()
    error = refused(stream_env, tmp_path)
    assert "no longer in the log" in error
    assert "offsets skip --partition 0 --to 5" in error
    assert not run(stream_env, "offsets", "skip", "--partition", "0", "--to", "5", "--yes").returncode
    with WorkerProcess(stream_env, tmp_path / "again"):
        wait_until(lambda: len(read(stream_env, "result")) == 4, 60)
    assert totals(stream_env)["act"] == 4


def test_added_partition_waits_until_the_other_topics_have_it_too(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(
        {**stream_env, "STREAM_KAFKA_CONFIG": str(fast_metadata(tmp_path))}, tmp_path / "log"
    ) as worker:
        worker.wait_for("partition running", times=2)
        grow_input(stream_env, 3)
        worker.wait_for("partition blocked", 90)
        assert worker.events("partition blocked")[0]["fix"] == "anagram-stream topics create"
        produce(stream_env, [(None, "cat")], partition=0)
        produce(stream_env, [(None, "cat")], partition=2)
        wait_until(lambda: len(read(stream_env, "result")) == 1, 30)
        assert run(stream_env, "topics", "create").returncode == 0
        wait_until(lambda: len(read(stream_env, "result")) == 2, 60)
        assert totals(stream_env)["act"] == 2


def fast_metadata(folder: Path) -> Path:
    """Let the client notice new partitions within a second, instead of five minutes."""
    path = folder / "kafka.properties"
    path.write_text("topic.metadata.refresh.interval.ms=1000\nmetadata.max.age.ms=1000\n")
    return path


def grow_input(env: dict[str, str], partitions: int) -> None:
    topic = env["STREAM_INPUT_TOPIC"]
    admin = admin_of(env)
    admin.create_partitions([NewPartitions(topic, partitions)])[topic].result()
    wait_until(lambda: topics.describe(admin, settings_of(env))["input"].partitions == partitions, 20)


def test_unavailable_broker_is_a_clear_error(bare_env: dict[str, str]) -> None:
    env = {**bare_env, "STREAM_BOOTSTRAP_SERVERS": "localhost:1"}
    ended = run(env, "topics", "check")
    assert ended.returncode == 1
    assert "anagram-stream broker" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_second_worker_with_the_same_instance_id_is_refused(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    env = {**stream_env, "STREAM_INSTANCE_ID": "one"}
    with WorkerProcess(env, tmp_path / "first") as first:
        first.wait_for("worker started")
        with WorkerProcess(env, tmp_path / "second") as second:
            assert second.wait() == 2
            assert "STREAM_INSTANCE_ID" in second.log.read_text()
