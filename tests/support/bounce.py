"""A broker that dies while workers work."""

import signal
import time

from support.process import WorkerProcess

from stream.broker.embedded import EmbeddedBroker

SETTLE_S = 0.5  # for the markers of what was ended before


def kill_between_ends(broker: EmbeddedBroker, *workers: WorkerProcess) -> None:
    """Kill -9 the broker while transactions are open and none is being ended.

    A single node that is killed between a transaction's end and its markers may skip these for ever, and
    nothing that a client does mends that: see decision 9.
    """
    for worker in workers:
        worker.signal(signal.SIGSTOP)
    try:
        time.sleep(SETTLE_S)
        broker.kill()
    finally:
        for worker in workers:
            worker.signal(signal.SIGCONT)
