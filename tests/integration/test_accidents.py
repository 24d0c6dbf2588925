"""Accidents that users reported, and similar ones: the worker refuses to continue, or stays exact."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import kafka_log
from support.accidents import (
    GroupUnderTest,
    alter_offsets,
    commit_by_stranger,
    delete_offsets,
    recreate,
    truncate,
)
from support.environment import SHORT_SESSIONS
from support.load import DICTIONARY
from support.process import WorkerProcess
from support.topics import admin_of, read, totals
from test_refusals import run

from stream.broker.embedded import EmbeddedBroker

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
NOTICED_S_MAX = 15.0  # how long an idle worker may take to notice that a topic was created again


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(data_dir=tmp_path_factory.mktemp("broker"), properties=SHORT_SESSIONS) as running:
        yield running


@pytest.fixture
def group(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[GroupUnderTest]:
    """A group with one partition."""
    with GroupUnderTest(broker, tmp_path, partitions=1) as under_test:
        yield under_test


def count(group: GroupUnderTest, *texts: str | bytes) -> None:
    """Let the worker count blobs."""
    if not group.worker.is_running:
        group.worker.start()
    group.send(texts)
    group.wait_until_counted()


def start_without_state(group: GroupUnderTest) -> None:
    shutil.rmtree(group.env["STREAM_STATE_DIR"])
    group.worker.start()


def test_offsets_that_a_stranger_committed_at_the_end_are_refused(group: GroupUnderTest) -> None:
    count(group, "cat", "act", "listen")
    group.stop()
    group.send(["silent", "stop", "post"])
    commit_by_stranger(group, {0: 6})
    group.worker.start()
    refusal = group.refused()
    assert "offset 6" in refusal.error
    assert "offset 3" in refusal.error
    assert "anagram-stream offsets resume" in refusal.fix
    assert len(group.sources()) == 3
    group.check_refused_again()


def test_changelog_that_lost_its_last_total_is_refused_without_the_state_folder(
    group: GroupUnderTest,
) -> None:
    count(group, "cat")
    size = kafka_log.size_of(group.broker, group.topic("count"), 0)
    count(group, "silent")
    group.stop()
    truncate(group, "count", size)
    assert totals(group.env) == {"act": 1}
    start_without_state(group)
    refusal = group.refused()
    assert "truncated" in refusal.error
    assert "covers the input before offset 1" in refusal.error
    assert "offset 2" in refusal.error
    group.check_refused_again()


def test_count_topic_created_again_under_a_running_worker_is_refused(group: GroupUnderTest) -> None:
    count(group, " ".join(DICTIONARY[:1000]))
    counted = totals(group.env)
    admin, name = admin_of(group.env), group.topic("count")
    admin.delete_topics([name])[name].result(20)
    while "created" not in run(group.env, "topics", "create").stdout:  # the broker may still list it
        time.sleep(0.1)
    group.send(["cat"])
    group.refused()
    assert sum(counted.values()) == 1000
    assert read(group.env, "count") == []
    assert len(group.sources()) == 1
    group.check_refused_again()
    for command in (["topics", "check"], ["doctor"]):
        checked = run(group.env, *command)
        assert checked.returncode == 1, checked.stdout + checked.stderr
        assert f"{name} is not the same topic as before" in checked.stdout + checked.stderr


def test_count_topic_created_again_is_refused_without_the_state_folder(group: GroupUnderTest) -> None:
    count(group, "cat", "silent")
    group.stop()
    recreate(group, "count")
    start_without_state(group)
    assert "not the same topic" in group.refused().error
    group.check_refused_again()


@pytest.mark.parametrize("role", ["input", "result", "count", "dead-letter"])
def test_idle_worker_notices_a_topic_that_was_created_again(group: GroupUnderTest, role: str) -> None:
    count(group, "cat", b"\xff")
    recreate(group, role)
    since = time.monotonic()
    group.refused()
    assert time.monotonic() - since < NOTICED_S_MAX
    group.check_refused_again()


def test_offset_that_a_stranger_committed_before_the_first_worker_is_refused(group: GroupUnderTest) -> None:
    group.send(["cat", "act", "listen"])
    commit_by_stranger(group, {0: 3})
    group.worker.start()
    refusal = group.refused()
    assert "from 0 to before 3" in refusal.error
    assert "anagram-stream offsets" in refusal.fix
    assert not group.sources()
    group.check_refused_again()


def test_moved_offset_with_the_metadata_of_another_offset_is_refused(group: GroupUnderTest) -> None:
    """A tool that exports and imports offsets keeps the metadata."""
    count(group, "cat", "act", "listen")
    group.stop()
    group.send(["silent"])
    alter_offsets(group, {0: 4}, {0: group.committed()[0][1]})
    group.worker.start()
    assert "not written by this application" in group.refused().error
    group.check_refused_again()


def test_older_offset_with_its_own_metadata_is_refused(group: GroupUnderTest) -> None:
    """A backup of the group's offsets was restored."""
    count(group, "cat")
    (offset, metadata) = group.committed()[0]
    count(group, "act", "listen")
    group.stop()
    alter_offsets(group, {0: offset}, {0: metadata})
    group.worker.start()
    refusal = group.refused()
    assert "from 1 to before 3 twice" in refusal.error
    assert "anagram-stream offsets resume" in refusal.fix
    group.check_refused_again()


def test_deleted_offsets_of_a_group_with_nothing_but_dead_letters_are_refused(group: GroupUnderTest) -> None:
    count(group, b"\xff", b"\xfe")
    group.stop()
    delete_offsets(group)
    group.worker.start()
    refusal = group.refused()
    assert "before offset 2" in refusal.error
    assert "anagram-stream offsets resume" in refusal.fix
    assert len(read(group.env, "dead-letter")) == 2
    group.check_refused_again()


def test_dead_letters_alone_are_refused_without_offsets_and_totals(group: GroupUnderTest) -> None:
    count(group, b"\xff")
    group.stop()
    delete_offsets(group)
    recreate(group, "count")
    group.worker.start()
    refusal = group.refused()
    assert "has records of this partition" in refusal.error
    assert "anagram-stream start-over" in refusal.fix
    assert len(read(group.env, "dead-letter")) == 1
    group.check_refused_again()


def test_counts_are_exact_with_an_older_copy_of_the_state_folder(group: GroupUnderTest) -> None:
    count(group, "cat", "silent")
    group.stop()
    state, backup = Path(group.env["STREAM_STATE_DIR"]), group.folder / "backup"
    shutil.copytree(state, backup)
    count(group, "cat", b"\xff")
    group.stop()
    shutil.rmtree(state)
    backup.replace(state)
    count(group, "listen")
    assert group.differences() == []
    assert totals(group.env) == {"act": 2, "eilnst": 2}


def test_state_folder_of_deleted_topics_is_not_used_for_topics_created_again(
    group: GroupUnderTest,
) -> None:
    """All topics and the group are deleted, and the worker starts over with its old stores."""
    count(group, "cat", "silent")
    group.stop()
    delete_offsets(group)
    for role in ("input", "result", "count", "dead-letter"):
        recreate(group, role)
    count(group, "listen")
    assert group.differences() == []
    assert totals(group.env) == {"eilnst": 1}


def test_worker_continues_after_a_broker_restart_without_loss(group: GroupUnderTest) -> None:
    """The leader epochs change but no record is lost, so there is nothing to refuse."""
    count(group, "cat", b"\xff")
    group.suspend()
    group.broker.stop()
    group.resume()
    group.broker.start()
    count(group, "silent")
    group.stop()
    with WorkerProcess(group.env, group.folder / "next") as worker:
        group.worker = worker
        count(group, "listen")
        assert group.differences() == []
