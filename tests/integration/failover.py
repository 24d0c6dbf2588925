"""Prints the stalls of two workers after faults on three nodes: `hatch run failover`.

Each node is killed, stopped cleanly, and frozen for 25 s; then the group coordinator is killed several
times. The next fault waits until all replicas are in sync and each partition has its preferred leader. All
settings have the defaults that users get. `hangs` counts calls to the client library that did not return.
"""

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.arrivals import Arrivals
from support.environment import own_env
from support.process import WorkerProcess
from support.topics import make_topics, settings_of, wait_until

from stream.broker.cluster import EmbeddedCluster
from stream.broker.embedded import EmbeddedBroker
from stream.kafka.clients import make_admin
from stream.tools.kafka.cluster_view import OFFSETS_TOPIC, ClusterView

PARTITIONS, DOWN_S, FROZEN_S, IN_SYNC_S_MAX, CALM_S = 6, 12.0, 25.0, 120.0, 5.0
COORDINATOR_KILLS = 6


def kill(broker: EmbeddedBroker) -> None:
    broker.kill()
    time.sleep(DOWN_S)
    broker.start()


def stop(broker: EmbeddedBroker) -> None:
    broker.stop()
    time.sleep(DOWN_S)
    broker.start()


def freeze(broker: EmbeddedBroker) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    time.sleep(FROZEN_S)
    os.kill(broker.pid, signal.SIGCONT)


FAULTS: dict[str, Callable[[EmbeddedBroker], None]] = {
    "kill -9": kill,
    "stop in order": stop,
    "frozen for 25 s": freeze,
}


class Measurement:
    """Two workers on three nodes, under a steady load."""

    def __init__(self, cluster: EmbeddedCluster, env: dict[str, str], arrivals: Arrivals) -> None:
        self.cluster = cluster
        self.workers = list[WorkerProcess]()
        self._env = env
        self._arrivals = arrivals
        self._view = ClusterView(lambda: make_admin(settings_of(env)))

    @property
    def group_coordinator(self) -> EmbeddedBroker:
        node = self._view.coordinator(OFFSETS_TOPIC, self._env["STREAM_GROUP_ID"])
        assert node is not None
        return self.cluster.brokers[node - 1]

    @property
    def hangs(self) -> int:
        return sum(len(each.events("loop hangs")) for each in self.workers)

    def stall_s(self, fault: Callable[[EmbeddedBroker], None], broker: EmbeddedBroker) -> float:
        """Return the longest stall of a partition after a fault."""
        began = time.monotonic()
        fault(broker)
        wait_until(self._arrivals.flows, IN_SYNC_S_MAX)
        stall_s = max(self._arrivals.stalls_s(began).values())
        wait_until(lambda: not self._view.not_in_sync(len(self.cluster.brokers)), IN_SYNC_S_MAX)
        self._view.elect_preferred()
        time.sleep(CALM_S)
        return stall_s


@contextmanager
def measurement() -> Iterator[Measurement]:
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        cluster = closing.enter_context(EmbeddedCluster(data_dir=folder / "kafka"))
        env = make_topics(own_env(cluster.bootstrap_servers, folder), PARTITIONS)
        del env["STREAM_TRANSACTION_TIMEOUT_MS"]  # users get the default
        arrivals = closing.enter_context(Arrivals(env, PARTITIONS))
        started = Measurement(cluster, env, arrivals)
        for name in ("a", "b"):
            worker = WorkerProcess({**env, "STREAM_INSTANCE_ID": name}, folder / name)
            started.workers.append(closing.enter_context(worker))
        wait_until(arrivals.flows, IN_SYNC_S_MAX)
        yield started


def report(fault: str, stalls: list[float], hangs: int) -> None:
    each = "  ".join(f"{stall:5.1f}" for stall in stalls)
    median = statistics.median(stalls)
    print(f"{fault:34} median {median:5.1f} s, each {each}, {hangs} hangs", flush=True)  # noqa: T201


def main() -> None:
    with measurement() as running:
        before = 0
        for name, fault in FAULTS.items():
            stalls = [running.stall_s(fault, broker) for broker in running.cluster.brokers]
            report(name, stalls, running.hangs - before)
            before = running.hangs
        stalls = [running.stall_s(kill, running.group_coordinator) for _ in range(COORDINATOR_KILLS)]
        report("kill -9 of the group coordinator", stalls, running.hangs - before)


if __name__ == "__main__":
    main()
