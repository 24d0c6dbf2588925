"""`anagram-stream worker` whose workers behave in some way instead of working, so that no Kafka is needed.

Run as `python supervised.py BEHAVIOUR FOLDER`. Each start of a worker leaves a file NUMBER-PID in the folder,
each drain one with `drained-` before it.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import structlog

from stream.cli import main, worker
from stream.config import Settings
from stream.core.dictionary import build_index
from stream.core.lexicon import make_lexicon
from stream.errors import Misconfigured, Refused
from stream.supervisor import child as children
from stream.supervisor import restarts
from stream.supervisor import supervisor as supervise
from stream.worker.clock import SystemClock
from stream.worker.wiring import Shared

BEHAVIOUR, FOLDER = sys.argv[1], Path(sys.argv[2])
PARTITIONS = 3


def survey(_: Settings, clock: SystemClock) -> Any:
    if BEHAVIOUR == "no-topics":
        raise Refused("there is no topic x", "make it")
    while BEHAVIOUR == "no-broker" and not clock.stopped:
        clock.sleep(1)
    return None if clock.stopped else SimpleNamespace(input=SimpleNamespace(partitions=PARTITIONS))


def run_worker(settings: Settings, clock: SystemClock, shared: Shared) -> None:
    number = shared.socket.name
    name = f"{number}-{os.getpid()}"
    (FOLDER / name).write_text(settings.instance_id or "")
    aside = threading.Thread(target=lambda: structlog.get_logger().info("from a thread", number=number))
    aside.start()
    aside.join()
    behave(number, clock)
    while not clock.stopped or BEHAVIOUR == "stubborn":
        time.sleep(0.02)
    time.sleep(0.2)  # a second signal meanwhile must not matter
    (FOLDER / f"drained-{name}").touch()


def behave(number: str, clock: SystemClock) -> None:
    if number == "1" and BEHAVIOUR in {"crash", "misconfigured", "refused", "traceback"}:
        clock.sleep(0.3)
        if BEHAVIOUR == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if BEHAVIOUR == "traceback":
            raise ZeroDivisionError
        if BEHAVIOUR == "refused":
            raise Refused("it would break a promise", "hint it")
        raise Misconfigured("that is wrong", "set it right")


instead: list[tuple[ModuleType, str, object]] = [
    (supervise, "survey", survey),
    (supervise, "run_worker", run_worker),
    (supervise, "load_words", lambda _: make_lexicon(build_index(["cat"]))),
    (supervise, "turn_s_max", lambda *_: 1.5),
    (supervise, "ORPHAN_S_MAX", 2.0),
    (restarts, "WAIT_S_MAX", 0.1),
    (worker, "usable_cores", lambda: 8),
]
if BEHAVIOUR == "portable":
    instead.append((children, "_hear_of_death", lambda *_: None))
for module, name, stub in instead:
    setattr(module, name, stub)
sys.argv = ["anagram-stream", "worker"]
main.main()
