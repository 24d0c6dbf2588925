"""Counts stay exact when workers are killed, partitions move, the broker is bounced or a store is deleted."""

import shutil
import signal
import time
from pathlib import Path

import pytest
from support.bounce import kill_between_ends
from support.environment import SHORT_SESSIONS, own_env
from support.load import Load, judge, texts
from support.process import WorkerProcess
from support.stall import stall_s
from support.topics import make_topics, produce, read, totals, wait_until

from stream.broker.embedded import EmbeddedBroker

pytestmark = pytest.mark.broker
PROTOCOLS = pytest.mark.parametrize("protocol", ["consumer", "classic"])


def with_protocol(
    env: dict[str, str], protocol: str, folder: Path, *, static: bool = False
) -> dict[str, str]:
    """Set the group protocol; under `classic` the client sets the session timeout, here the broker's."""
    env = {**env, "STREAM_GROUP_PROTOCOL": protocol}
    if protocol == "classic":
        properties = folder / "kafka.properties"
        properties.write_text("session.timeout.ms=6000\nheartbeat.interval.ms=500\n")
        env |= {"STREAM_KAFKA_CONFIG": str(properties), "STREAM_STATIC_MEMBERSHIP": str(static).lower()}
    return env


@PROTOCOLS
def test_counts_are_exact_after_a_kill_under_load(
    stream_env: dict[str, str], tmp_path: Path, protocol: str
) -> None:
    env = with_protocol(stream_env, protocol, tmp_path)
    blobs = texts(3000, 20)
    with WorkerProcess(env, tmp_path / "log") as worker, Load(env, blobs, 6) as load:
        worker.wait_for("partition running", times=2)
        load.wait_for(0.5)
        worker.kill()
        worker.start()
        judge(env, blobs)
        assert worker.stop() == 0


@PROTOCOLS
def test_counts_are_exact_after_a_rebalance_under_load(
    stream_env: dict[str, str], tmp_path: Path, protocol: str
) -> None:
    env = with_protocol(stream_env, protocol, tmp_path)
    blobs = texts(3000, 20)
    second = WorkerProcess(env, tmp_path / "log-2")
    with WorkerProcess(env, tmp_path / "log") as first, Load(env, blobs, 8) as load, second:
        second.wait_for("partition running")
        load.wait_for(0.6)
        assert first.stop() == 0
        judge(env, blobs)
        assert {e["instance"] for e in second.events("worker started")} != {
            e["instance"] for e in first.events("worker started")
        }, "two workers with one state folder need different instance ids"


def test_counts_are_exact_after_a_worker_is_paused_past_its_session(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    blobs = texts(2000, 20)
    second = WorkerProcess(stream_env, tmp_path / "log-2")
    with WorkerProcess(stream_env, tmp_path / "log") as first, second, Load(stream_env, blobs, 10) as load:
        second.wait_for("partition running")
        load.wait_for(0.3)
        first.signal(signal.SIGSTOP)
        time.sleep(12)  # its session (6 s) and its transaction (5 s) time out
        first.signal(signal.SIGCONT)
        judge(stream_env, blobs)


def test_deleted_store_is_restored_and_kept_store_is_not(stream_env: dict[str, str], tmp_path: Path) -> None:
    blobs = texts(500, 20)
    produce(stream_env, ((f"b{n}", text) for n, text in enumerate(blobs)))
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        judge(stream_env, blobs)
        worker.kill()
        worker.start()
        worker.wait_for("partition running", times=4)
        kept = [event["restored_records"] for event in worker.events("partition running")[2:]]
        assert worker.stop() == 0
        shutil.rmtree(stream_env["STREAM_STATE_DIR"])
        worker.start()
        worker.wait_for("partition running", times=6)
        deleted = [event["restored_records"] for event in worker.events("partition running")[4:]]
        assert sum(kept) == 0, "the store was complete"
        assert sum(deleted) == len(read(stream_env, "count"))
        produce(stream_env, [("more", blobs[0])])
        wait_until(lambda: len(read(stream_env, "result")) == 501, 60)
        assert sum(totals(stream_env).values()) > 0


@pytest.mark.embedded
def test_worker_waits_for_a_bounced_broker_with_few_log_lines(tmp_path: Path) -> None:
    """The broker is killed because a clean stop may skip markers, see `EmbeddedBroker.stop`."""
    with EmbeddedBroker(properties=SHORT_SESSIONS) as broker:
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)
        blobs = texts(2000, 20)
        with WorkerProcess(env, tmp_path / "log") as worker:
            worker.wait_for("partition running", times=2)
            with Load(env, blobs, 8) as load:
                load.wait_for(0.4)
                kill_between_ends(broker, worker)
                time.sleep(3)
                broker.start()
            judge(env, blobs, 180)
            assert worker.stop() == 0
            assert len(worker.log.read_text().splitlines()) < 60, worker.log.read_text()


def test_killed_member_continues_without_waiting_for_its_session(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    """The session timeout is Kafka's default of 45 s, so a far shorter stall did not wait for it."""
    env = {**stream_env, "STREAM_GROUP_PROTOCOL": "classic"}
    assert stall_s(env, tmp_path, 40) < 20


@pytest.mark.parametrize(
    ("static", "moved"),
    [
        pytest.param("false", 2, id="it leaves the group, so its partition moves at once"),
        pytest.param("true", 1, id="a static member that comes back moves nothing"),
    ],
)
def test_clean_restart_moves_partitions_unless_membership_is_static(
    stream_env: dict[str, str], tmp_path: Path, static: str, moved: int
) -> None:
    env = {**stream_env, "STREAM_GROUP_PROTOCOL": "classic", "STREAM_STATIC_MEMBERSHIP": static}
    first, second = (
        WorkerProcess({**env, "STREAM_INSTANCE_ID": name}, tmp_path / name) for name in ("one", "two")
    )
    with first, second:
        wait_until(lambda: owners(first, second) == [1, 1], 60)
        running = len(first.events("partition running"))
        assert second.stop() == 0
        if moved > 1:
            wait_until(lambda: owners(first) == [2], 20)
        second.start()
        wait_until(lambda: owners(first, second) == [1, 1], 60)
        assert len(first.events("partition running")) == running + moved - 1


def owners(*workers: WorkerProcess) -> list[int]:
    """Return how many partitions run in each worker."""
    return [len(partitions_of(worker)) for worker in workers]


def partitions_of(worker: WorkerProcess) -> set[int]:
    owned: set[int] = set()
    ended = "partitions revoked", "partitions lost"
    for entry in worker.events("worker started", "partition running", *ended):
        if entry["event"] == "partition running":
            owned.add(entry["partition"])
        elif entry["event"] in ended:
            owned -= set(entry["partitions"])
        else:
            owned.clear()
    return owned
