"""Detects in broker logs that Kafka itself tore a transaction, and resumes as an operator would.

A coordinator that loads the state of transactions sends the markers of decided ones. Kafka 4.4.0 also does so
without a valid decision in two cases (decision 21), which no client can prevent:

1. The broker was the leader before a crash and returns within its session. It acts on a decision at the end
   of its log that no other replica has; the next leader decides the same transaction differently.
2. The broker has already lost the leadership, so it stopped loading in the middle.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from subprocess import CompletedProcess
from time import monotonic
from typing import NamedTuple

from stream.config import Settings
from stream.tools.chaos.accident import resume_command
from stream.tools.chaos.fleet import Fleet, worker_environment
from stream.tools.chaos.score import Score
from stream.tools.chaos.waiter import Waiter
from stream.tools.child_environment import environment_without_settings
from stream.tools.kafka.cluster_view import coordinator_partition

CHECKED_S = 5.0
COMMAND_S_MAX = 180.0  # `offsets` waits for open transactions of dead workers
RESUMED_S_MAX = 120.0  # a static member leaves when its session ends
STATE_PARTITIONS = 8  # of the transactions topic of the embedded brokers
_SENT = re.compile(
    r"^(\S+) INFO \[Transaction State Manager \d+\]: Sending txn markers for \w+"
    r"\[transactionalId=(?P<id>[^,]+), coordinatorEpoch=(?P<epoch>\d+), result=(?P<result>COMMIT|ABORT), "
    r".*?txnStartTimestamp=(?P<start>\d+)",
    re.MULTILINE,
)
_RESIGNED = re.compile(
    r"^(\S+) INFO \[TransactionCoordinator id=\d+\] Resigned as the txn coordinator for partition "
    r"(?P<partition>\d+) at epoch Some\((?P<epoch>\d+)\)",
    re.MULTILINE,
)


class _Sent(NamedTuple):
    """Markers that a broker sent because it loaded the state, not because a client ended a transaction."""

    time: datetime
    node: int
    transactional_id: str
    epoch: int
    result: str
    start: str


def find_tears(logs: Mapping[int, str], group: str) -> list[str]:
    """Return sentences about the transactions of a group's workers that Kafka tore; `logs` are by node id."""
    sent = sorted(
        each for node, log in logs.items() for each in _sent(node, log) if group in each.transactional_id
    )
    torn = []
    for each in sent:
        if each.result != "COMMIT":
            continue
        about = (
            f"{each.transactional_id} (started at {each.start}): node {each.node} committed it at {each.time}"
        )
        other = next((s for s in sent if _is_other_decision(s, each)), None)
        if other is not None:
            torn.append(f"{about}, node {other.node} aborted it at {other.time}")
        elif (resigned_at := _resigned_before(logs[each.node], each)) is not None:
            torn.append(f"{about}, but had resigned as its coordinator at {resigned_at}")
    return torn


def _sent(node: int, log: str) -> Iterator[_Sent]:
    for match in _SENT.finditer(log):
        yield _Sent(_time(match[1]), node, match["id"], int(match["epoch"]), match["result"], match["start"])


def _is_other_decision(one: _Sent, other: _Sent) -> bool:
    same = (one.transactional_id, one.start) == (other.transactional_id, other.start)
    return same and one.result != other.result


def _resigned_before(log: str, sent: _Sent) -> datetime | None:
    """Return when the broker resigned with a later epoch than that of the markers that it sent afterwards."""
    partition = coordinator_partition(sent.transactional_id, STATE_PARTITIONS)
    for match in _RESIGNED.finditer(log):
        time = _time(match[1])
        if int(match["partition"]) == partition and int(match["epoch"]) > sent.epoch and time <= sent.time:
            return time
    return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace(",", "."))


class TearRecovery:
    """Runs `offsets resume` where workers refuse because Kafka tore a transaction."""

    def __init__(
        self,
        settings: Settings,
        fleet: Fleet,
        waiter: Waiter,
        read_logs: Callable[[], Mapping[int, str]],
        score: Score,
    ) -> None:
        self._settings = settings
        self._fleet = fleet
        self._waiter = waiter
        self._read_logs = read_logs
        self._score = score
        self._known: set[str] = set()

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait like a `Waiter`, but resume where Kafka tore a transaction, and then restart the wait."""
        deadline = monotonic() + seconds
        while not self._waiter.until(condition, CHECKED_S):
            if self._fleet.refused and (torn := self._go_on()):
                self._score.torn_by_kafka += torn
                deadline = monotonic() + seconds
            if monotonic() >= deadline:
                return False
        return True

    def _go_on(self) -> list[str]:
        """Return the transactions that Kafka tore since the last call, once the workers continue.

        Without such evidence this does nothing: then the workers are at fault for a refusal.
        """
        command = resume_command([refusal.fix for refusal in self._fleet.refused.values()])
        torn = [
            each for each in find_tears(self._read_logs(), self._settings.group_id) if each not in self._known
        ]
        if command is None or not torn:
            return []
        for worker in self._fleet.workers:
            worker.stop()
        with self._fleet.held():
            is_resumed = self._waiter.until(lambda: self._resumes(command.split()), RESUMED_S_MAX)
        self._fleet.refused.clear()
        self._fleet.start_again()
        self._known.update(torn)
        return torn if is_resumed else []

    def _resumes(self, command: Iterable[str]) -> bool:
        return run_command(self._settings, *command, "--yes").returncode == 0


def run_command(settings: Settings, *arguments: str) -> CompletedProcess[str]:
    """Run a command of this product on the cluster of a campaign."""
    chosen = worker_environment(settings, settings.bootstrap_servers, processes=1)
    return subprocess.run(
        [sys.executable, "-m", "stream", *arguments],
        env={**environment_without_settings(), **chosen},
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        check=False,
    )
