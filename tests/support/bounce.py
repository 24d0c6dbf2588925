"""Kills a broker under load."""

import signal
import time

from support.process import WorkerProcess

from stream.broker.embedded import EmbeddedBroker

SETTLE_S = 0.5  # for the markers of transactions that ended just before


def kill_between_ends(broker: EmbeddedBroker, *workers: WorkerProcess) -> None:
    """Kill -9 the broker while transactions are open and none is ending.

    A single node that is killed between the end of a transaction and its markers may never write the markers,
    and no client can repair that; see decision 9.
    """
    for worker in workers:
        worker.signal(signal.SIGSTOP)
    try:
        time.sleep(SETTLE_S)
        broker.kill()
    finally:
        for worker in workers:
            worker.signal(signal.SIGCONT)
