"""`anagram-stream worker` with stub workers that only simulate a behavior, so that no Kafka is needed.

Run as `python supervised.py BEHAVIOR FOLDER`. Each started worker creates a file NUMBER-PID in the folder,
each drained worker a file drained-NUMBER-PID.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import structlog

from stream.cli import main, worker
from stream.config import Settings
from stream.errors import Fatal, Fenced, Misconfigured, Refused
from stream.supervisor import child, restarts, supervisor
from stream.worker.clock import SystemClock
from stream.worker.wiring import Shared

BEHAVIOUR, FOLDER = sys.argv[1], Path(sys.argv[2])
PARTITIONS = 3


def check_topics(_: Settings, clock: SystemClock) -> Any:
    if BEHAVIOUR == "no-topics":
        raise Refused("topic x does not exist", "create it")
    while BEHAVIOUR == "no-broker" and not clock.stopped:
        clock.sleep(1)
    return None if clock.stopped else SimpleNamespace(input=SimpleNamespace(partitions=PARTITIONS))


def run_worker(settings: Settings, clock: SystemClock, _: Callable[[], None], shared: Shared) -> None:
    number = shared.socket.name
    name = f"{number}-{os.getpid()}"
    (FOLDER / name).write_text(settings.instance_id or "")
    thread = threading.Thread(target=lambda: structlog.get_logger().info("from a thread", number=number))
    thread.start()
    thread.join()
    behave(number, clock)
    while not clock.stopped or BEHAVIOUR == "stubborn":
        time.sleep(0.02)
    time.sleep(0.2)  # a second signal during the drain must not matter
    (FOLDER / f"drained-{name}").touch()


ERRORS: dict[str, tuple[Exception, ...]] = {  # of process 1, then of process 0
    "fatal": (Fatal("it cannot continue"),),
    "fenced": (Fenced("another has its id"),),
    "fenced-both": (Fenced("another has its id"), Fenced("another has this id, too")),
    "fenced-refused": (Fenced("another has its id"), Refused("it would break a promise", "hint it")),
    "misconfigured": (Misconfigured("that is wrong", "set it right"),),
    "refused": (Refused("it would break a promise", "hint it"),),
    "traceback": (ZeroDivisionError(),),
}


def behave(number: str, clock: SystemClock) -> None:
    if number == "1" and BEHAVIOUR == "crash":
        clock.sleep(0.3)
        os.kill(os.getpid(), signal.SIGSEGV)
    errors, position = ERRORS.get(BEHAVIOUR, ()), 1 - int(number)
    if 0 <= position < len(errors):
        clock.sleep(0.3 + position)
        raise errors[position]


stubs: list[tuple[ModuleType, str, object]] = [
    (supervisor, "check_topics", check_topics),
    (supervisor, "settle_protocol", lambda *_: "consumer"),
    (supervisor, "run_worker", run_worker),
    (supervisor, "load_shared_fold", lambda _: None),
    (supervisor, "run_once_s_max", lambda *_: 1.5),
    (supervisor, "ORPHAN_S_MAX", 2.0),
    (restarts, "WAIT_S_MAX", 0.1),
    (worker, "usable_cores", lambda: 8),
]
if BEHAVIOUR == "no-temporary-folder":
    stubs.append((tempfile, "_candidate_tempdir_list", list))
if BEHAVIOUR == "portable":
    stubs.append((child, "_request_parent_death_signal", lambda *_: None))
for module, name, stub in stubs:
    setattr(module, name, stub)
sys.argv = ["anagram-stream", "worker"]
main.main()
