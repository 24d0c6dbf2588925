"""What comes before a worker: the dictionary, the topics and what is granted on them."""

from collections.abc import Callable
from math import inf
from typing import TypeVar

import structlog

from stream.config import Settings
from stream.core.lexicon import Lexicon
from stream.dictionary import load_lexicon
from stream.errors import Refused, Retriable
from stream.exercise.faults import FaultPlan
from stream.kafka import clients, topics
from stream.kafka.access import check_access
from stream.kafka.topics import Topics
from stream.worker.clock import SystemClock
from stream.worker.patience import retry_for

REACH_S_MAX = 30.0  # how long a start waits for a broker that does not answer
ASKED_S_MAX, ASKED_AGAIN_S = 10.0, 0.1  # the same of a command

T = TypeVar("T")
_log = structlog.get_logger()


def announce(settings: Settings, port: int, plan: FaultPlan | None) -> None:
    """Say where probes and metrics listen, and loudly where stages fail on purpose."""
    if plan is not None:
        _warn(plan)
    _log.info("telemetry listens", address=f"http://{settings.http_host}:{port}")


def load_words(settings: Settings) -> Lexicon:
    """Return the dictionary, ready for counting.

    Raises:
        Misconfigured: it cannot be read, or holds no word.
    """
    lexicon = load_lexicon(settings.dictionary)
    _log.info("dictionary loaded", words=lexicon.words, dropped=lexicon.dropped, digest=lexicon.digest)
    return lexicon


def check_topics(settings: Settings, clock: SystemClock, *, is_first: bool = True) -> Topics | None:
    """Check the topics and what is granted on them; None when stopped meanwhile.

    `is_first`: nobody has looked before; else what is doubtful was told, and the broker is waited for.

    Raises:
        Refused: the broker stays away, or a worker must not start on these topics.
    """
    found = reach(settings, clock, REACH_S_MAX if is_first else inf)
    if found is not None:
        check_access(found, settings)
        for warning in found.warnings if is_first else ():
            _log.warning("topics", warning=warning)
    return found


def reach(settings: Settings, clock: SystemClock, reach_s_max: float) -> Topics | None:
    """Check the topics, waiting `reach_s_max` for a broker that does not answer; None when stopped meanwhile.

    Raises:
        Refused: the broker stays away, or a worker must not start on these topics.
    """
    admin = clients.make_admin(settings)
    deadline = clock.monotonic() + reach_s_max
    said = False
    while True:
        try:
            return topics.check(admin, settings)
        except Retriable as why:
            if clock.stopped:
                return None
            if clock.monotonic() >= deadline:
                raise unreachable(settings, why) from why
            if not said:
                _log.warning("waiting for Kafka", bootstrap_servers=settings.bootstrap_servers, why=str(why))
                said = True
            clock.sleep(0.5)


def retry_while_unreachable(settings: Settings, ask: Callable[[], T]) -> T:
    """Ask the broker something, again for a while when it does not answer.

    Raises:
        Refused: it stays away.
    """
    try:
        return retry_for(ask, ASKED_S_MAX, ASKED_AGAIN_S)
    except Retriable as why:
        raise unreachable(settings, why) from why


def unreachable(settings: Settings, why: Exception) -> Refused:
    """Return the error for a broker that does not answer."""
    return Refused(
        f"no Kafka broker answers at {settings.bootstrap_servers}: {why}",
        "set STREAM_BOOTSTRAP_SERVERS, or start a broker with: anagram-stream broker",
    )


def run_once_s_max(settings: Settings, plan: FaultPlan | None) -> float:
    """Return how long a turn of the loop may take: retries, two transactions, an abort, and slack."""
    delays_s = 0.0 if plan is None else plan.delays_s
    return (settings.batch_deadline_ms + 3 * settings.transaction_timeout_ms) / 1000 + 20 + delays_s


def _warn(plan: FaultPlan) -> None:
    """Say loudly that stages fail on purpose."""
    _log.warning(
        "FAULTS ARE INJECTED ON PURPOSE",
        fix="this is for trials; in production unset STREAM_FAULTS",
        stages={
            stage.value: f"{fault.rate:.0%} fail ({fault.error.value}), {fault.delay_s * plan.scale:g} s"
            for stage, fault in plan.stages.items()
        },
        seed=plan.seed,
    )
