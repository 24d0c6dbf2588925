"""Each alert fires for its fault, which is injected into real workers on a real Kafka.

A real Prometheus evaluates the alerts, with times divided by 60; the seconds until an alert fires are printed
(-s). Last stable offsets are polled every 10 s, as in production.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]
from support.environment import SHORT_SESSIONS, SOON_ABORTED, own_env
from support.firing import Prometheus
from support.ops import alerts
from support.process import WorkerProcess
from support.scene import Scene
from support.stranger import Stranger
from support.topics import admin_of, make_topics, produce, read, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.tools.chaos.proxy import Api, Error, FaultProxy, Rule, When

pytestmark = [pytest.mark.docker, pytest.mark.broker, pytest.mark.embedded, pytest.mark.timeout(200)]

HANGING = """
import sys, time
from stream.cli.main import main
from stream.kafka.sink import KafkaSink
from stream.supervisor.hang import SingleProcess
from stream.worker import wiring
wiring.run_once_s_max = lambda *_: 3.0
SingleProcess.start_again = lambda _: None  # the process does not exit
KafkaSink.send_offsets = lambda *_: time.sleep(300)
sys.argv = ["anagram-stream", "worker"]
main()
"""
ENDING = """
import sys
from stream.cli.main import main
from stream.errors import Fenced
from stream.supervisor import supervisor
run_worker = supervisor.run_worker
def run_or_end(settings, clock, on_hang, shared):
    if shared.socket.name == "1":
        raise Fenced("another worker has its id")
    run_worker(settings, clock, on_hang, shared)
supervisor.run_worker = run_or_end
sys.argv = ["anagram-stream", "worker"]
main()
"""
UNKNOWN_MEMBER_ID = 25
FAST_METADATA = "topic.metadata.refresh.interval.ms=1000\nmetadata.max.age.ms=1000\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(properties=SHORT_SESSIONS | SOON_ABORTED, heap_mib=512) as broker:
        yield broker


@pytest.fixture
def scene(shared: EmbeddedBroker, prometheus: Prometheus, tmp_path: Path) -> Iterator[Scene]:
    env = make_topics(own_env(shared.bootstrap_servers, tmp_path), partitions=2)
    scene = Scene(shared, prometheus, env, tmp_path)
    yield scene
    scene.close()


def no_worker_runs(scene: Scene) -> None:
    worker = scene.running_worker()
    wait_until(lambda: "StreamDown" not in scene.prometheus.firing(), 30)
    worker.stop()


def the_loop_hangs(scene: Scene) -> None:
    scene.running_worker(("-c", HANGING))
    produce(scene.env, [(None, "cat")] * 100)


def a_third_is_poison(scene: Scene) -> None:
    scene.running_worker()
    scene.faulty_at = time.monotonic()
    for _ in range(15):
        produce(scene.env, [(None, "cat"), (None, "act"), (None, b"\xff")])
        time.sleep(0.5)


def faults_are_on(scene: Scene) -> None:
    scene.worker(STREAM_FAULTS="original", STREAM_FAULTS_ACCEPTED="true")


def a_stranger_joins_the_group(scene: Scene) -> None:
    """The stranger owns one of the two partitions, and counts nothing."""
    scene.running_worker()
    scene.stranger = Stranger(scene.env)
    wait_until(lambda: scene.stranger and scene.stranger.partitions, 30)
    for partition in (0, 1):
        produce(scene.env, [(None, "cat")] * 50, partition=partition)


def the_input_is_grown(scene: Scene) -> None:
    (scene.folder / "kafka.properties").write_text(FAST_METADATA)
    scene.running_worker(STREAM_KAFKA_CONFIG=str(scene.folder / "kafka.properties"))
    topic, admin = scene.env["STREAM_INPUT_TOPIC"], admin_of(scene.env)
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)


def a_transaction_hangs_in_the_results(scene: Scene) -> None:
    scene.running_worker()
    scene.open_transaction("RESULT")


def a_transaction_hangs_in_the_changelog(scene: Scene) -> None:
    scene.open_transaction("COUNT")
    scene.worker()


def a_result_is_forged(scene: Scene) -> None:
    worker = scene.running_worker()
    produce(scene.env, [("a", "cat")])
    wait_until(lambda: read(scene.env, "result"), 30)
    worker.stop()
    (result,) = read(scene.env, "result")
    producer = Producer({"bootstrap.servers": scene.env["STREAM_BOOTSTRAP_SERVERS"]})
    producer.produce(result.topic, result.value, result.key, result.partition, headers=list(result.headers))
    producer.flush(30)
    scene.audit()


def workers_come_and_go(scene: Scene) -> None:
    scene.running_worker()

    def come_and_go() -> None:
        number = 0
        while not scene.closed.is_set():
            number += 1
            with WorkerProcess(scene.env, scene.folder / f"guest-{number}") as guest:
                guest.wait_for("partition running", seconds=30)
                guest.stop()

    scene.guests = threading.Thread(target=come_and_go)
    scene.guests.start()


def a_store_is_damaged(scene: Scene) -> None:
    worker = scene.running_worker()
    worker.stop()
    for current in Path(scene.env["STREAM_STATE_DIR"]).glob("*/worker-*/partition-*/CURRENT"):
        current.write_text("damaged")
    time.sleep(3)  # so that Prometheus sees the counter start at 0 in another process
    scene.worker()


def processes_are_killed(scene: Scene) -> None:
    worker = scene.worker(STREAM_PROCESSES="2")
    worker.wait_for("worker started", times=2)
    command = ["pgrep", "-P", str(worker.process.pid)]  # the test may stop the worker before this thread

    def kill_children() -> None:
        for _ in range(5):
            children = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
            for child in children[-1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            time.sleep(2)

    threading.Thread(target=kill_children, daemon=True).start()


def the_worker_starts_again_and_again(scene: Scene) -> None:
    worker = scene.running_worker()

    def start_again() -> None:
        starts = 1
        while not scene.closed.is_set():
            worker.kill()
            worker.start()
            starts += 1
            worker.wait_for("worker started", seconds=30, times=starts)
            scene.closed.wait(2)  # so that it is scraped

    scene.guests = threading.Thread(target=start_again)
    scene.guests.start()


def a_process_ends_for_good(scene: Scene) -> None:
    scene.worker(("-c", ENDING), STREAM_PROCESSES="2").wait_for("process ended")


def the_disk_is_small(scene: Scene) -> None:
    folder = scene.folder / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no permission to mount a small disk")
    scene.mounted = folder
    scene.running_worker(STREAM_STATE_DIR=str(folder))


SHARED: dict[str, Callable[[Scene], None]] = {
    "StreamDown": no_worker_runs,
    "StreamLoopHangs": the_loop_hangs,
    "StreamNoCommit": the_loop_hangs,
    "StreamLagBurnRate": the_loop_hangs,
    "StreamDeadLetterRatio": a_third_is_poison,
    "StreamFaultsInjected": faults_are_on,
    "StreamPartitionNotCounted": a_stranger_joins_the_group,
    "StreamPartitionNotReported": a_stranger_joins_the_group,
    "StreamPartitionsBlocked": the_input_is_grown,
    "StreamLastStableOffsetStuck": a_transaction_hangs_in_the_results,
    "StreamRestoreTooLong": a_transaction_hangs_in_the_changelog,
    "StreamAuditMismatch": a_result_is_forged,
    "StreamRebalanceStorm": workers_come_and_go,
    "StreamStoreSetAside": a_store_is_damaged,
    "StreamProcessCrashes": processes_are_killed,
    "StreamProcessEnded": a_process_ends_for_good,
    "StreamWorkerRestarts": the_worker_starts_again_and_again,
    "StreamDiskAlmostFull": the_disk_is_small,
}
OWN_BROKER = {"StreamBrokerAway", "StreamAuditStale", "StreamTransactionsFail", "StreamViewStale"}


def report(alert: str, fault: str, seconds: float) -> None:
    print(f"\n{alert}: {fault.replace('_', ' ')}, fired {seconds:.1f} s later")  # noqa: T201


@pytest.mark.parametrize("alert", SHARED)
def test_alert_fires_for_its_fault(alert: str, scene: Scene) -> None:
    SHARED[alert](scene)
    faulty_at = scene.faulty_at or time.monotonic()
    scene.prometheus.wait_for(alert, 120)
    report(alert, SHARED[alert].__name__, time.monotonic() - faulty_at)


def test_alert_fires_when_the_broker_is_unavailable(own_broker: Scene) -> None:
    own_broker.running_worker()
    own_broker.broker.kill()
    report("StreamBrokerAway", "the broker is killed", own_broker.prometheus.wait_for("StreamBrokerAway", 60))


def test_alert_fires_when_the_audit_completes_no_round(own_broker: Scene) -> None:
    audit = own_broker.audit()
    audit.wait_for("audited")
    # The alert may still fire because of an earlier audit.
    wait_until(lambda: "StreamAuditStale" not in own_broker.prometheus.firing(), 30)
    own_broker.broker.kill()
    report(
        "StreamAuditStale", "the broker is killed", own_broker.prometheus.wait_for("StreamAuditStale", 120)
    )


def test_alert_fires_when_responses_are_stale(own_broker: Scene) -> None:
    serve = own_broker.serve()
    serve.wait_current()
    own_broker.broker.kill()
    report("StreamViewStale", "the broker is killed", own_broker.prometheus.wait_for("StreamViewStale", 120))


def test_alert_fires_when_transactions_fail(prometheus: Prometheus, tmp_path: Path) -> None:
    proxy = FaultProxy()
    with (
        proxy,
        EmbeddedBroker(
            properties=SHORT_SESSIONS, listeners={"PROXIED": "PLAINTEXT"}, advertised={"PROXIED": proxy.port}
        ) as broker,
    ):
        proxy.start(broker.bound("PROXIED"))
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)
        scene = Scene(broker, prometheus, env, tmp_path)
        try:
            scene.running_worker(STREAM_BOOTSTRAP_SERVERS=proxy.address)
            proxy.add(Rule(Api.TXN_OFFSET_COMMIT, Error(UNKNOWN_MEMBER_ID), When.probability(0.7, 1)))
            faulty_at = time.monotonic()
            while "StreamTransactionsFail" not in prometheus.firing():
                assert time.monotonic() < faulty_at + 90
                produce(env, [(None, "cat")] * 5)
                time.sleep(0.2)
            report("StreamTransactionsFail", "offsets are refused", time.monotonic() - faulty_at)
        finally:
            scene.close()


def test_every_alert_has_a_fault() -> None:
    assert {alert["alert"] for alert in alerts()} == SHARED.keys() | OWN_BROKER
