"""Prepares the start of a worker: loads the dictionary, checks the topics and the access to them."""

from collections.abc import Callable
from math import inf
from typing import TypeVar

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from stream.config import Settings
from stream.core.group_protocol import choose_protocol
from stream.core.lexicon import Lexicon
from stream.dictionary import load_lexicon
from stream.errors import Refused, Retriable
from stream.exercise.faults import FaultPlan
from stream.kafka import clients, topics
from stream.kafka.access import check_access
from stream.kafka.group_protocol import needs_classic, read_group_facts
from stream.kafka.sink import RESET_S_MAX
from stream.kafka.topics import Topics
from stream.worker.clock import SystemClock

UNREACHABLE_S_MAX = 30.0  # how long the start of a worker waits for a broker that does not answer
COMMAND_S_MAX, COMMAND_RETRY_S = 10.0, 0.1  # the same for a command, and its wait between two attempts

T = TypeVar("T")
_log = structlog.get_logger()


def announce(settings: Settings, port: int, plan: FaultPlan | None) -> None:
    """Log where probes and metrics listen, and warn if stages fail on purpose."""
    if plan is not None:
        _warn(plan)
    _log.info("telemetry listens", address=f"http://{settings.http_host}:{port}")


def load_words(settings: Settings) -> Lexicon:
    """Return the dictionary, ready for counting.

    Raises:
        Misconfigured: the dictionary cannot be read, or contains no word.
    """
    lexicon = load_lexicon(settings.dictionary)
    _log.info("dictionary loaded", words=lexicon.words, dropped=lexicon.dropped, digest=lexicon.digest)
    return lexicon


def check_topics(settings: Settings, clock: SystemClock, *, is_first: bool = True) -> Topics | None:
    """Check the topics and the access to them; return None if the worker is stopped meanwhile.

    If `is_first` is false, a supervisor has checked and warned already: wait for the broker without a limit.

    Raises:
        Refused: the broker is unavailable, or a worker must not start on these topics.
    """
    checked = wait_for_topics(settings, clock, UNREACHABLE_S_MAX if is_first else inf)
    if checked is not None:
        check_access(checked, settings)
        for warning in checked.warnings if is_first else ():
            _log.warning("topics", warning=warning)
    return checked


def wait_for_topics(settings: Settings, clock: SystemClock, wait_s_max: float) -> Topics | None:
    """Check the topics; wait up to `wait_s_max` for a broker. Return None if stopped meanwhile.

    Raises:
        Refused: the broker is unavailable, or a worker must not start on these topics.
    """
    admin = clients.make_admin(settings)
    return _wait_for_broker(lambda: topics.check(admin, settings), settings, clock, wait_s_max)


def settle_protocol(settings: Settings, clock: SystemClock, *, is_first: bool = True) -> str | None:
    """Return the group protocol to use; None if the worker is stopped meanwhile.

    Raises:
        Refused: the broker is unavailable, or does not support the requested protocol.
    """
    facts = _wait_for_broker(
        # Each attempt has a new client: librdkafka aborts the process if a request about a group has failed
        # and the coordinator of the group comes back.
        lambda: read_group_facts(clients.make_admin(settings), settings.group_id),
        settings,
        clock,
        UNREACHABLE_S_MAX if is_first else inf,
    )
    if facts is None:
        return None
    protocol, why = choose_protocol(settings.group_protocol, facts, needs_classic=needs_classic(settings))
    if is_first:
        _log.info("group protocol", protocol=protocol, why=why)
    return protocol


def _wait_for_broker(
    request: Callable[[], T], settings: Settings, clock: SystemClock, wait_s_max: float
) -> T | None:
    deadline = clock.monotonic() + wait_s_max
    is_reported = False
    while True:
        try:
            return request()
        except Retriable as reason:
            if clock.stopped:
                return None
            if clock.monotonic() >= deadline:
                raise unreachable(settings, reason) from reason
            if not is_reported:
                servers = settings.bootstrap_servers
                _log.warning("waiting for Kafka", bootstrap_servers=servers, why=str(reason))
                is_reported = True
            clock.sleep(0.5)


def retry_for(request: Callable[[], T], seconds: float, wait_s: float) -> T:
    """Return the response to a request, retried for `seconds` while it is Retriable.

    Raises:
        Retriable: the last attempt failed.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(Retriable),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(wait_s),
        reraise=True,
    )
    return retrying(request)


def retry_while_unreachable(settings: Settings, request: Callable[[], T]) -> T:
    """Return the response to a request of a command, retried for `COMMAND_S_MAX` seconds.

    Raises:
        Refused: the broker is unavailable.
    """
    try:
        return retry_for(request, COMMAND_S_MAX, COMMAND_RETRY_S)
    except Retriable as reason:
        raise unreachable(settings, reason) from reason


def unreachable(settings: Settings, reason: Exception) -> Refused:
    """Return the error for a broker that does not answer."""
    return Refused(
        f"no Kafka broker answers at {settings.bootstrap_servers}: {reason}",
        "set STREAM_BOOTSTRAP_SERVERS, or start a broker with: anagram-stream broker",
    )


def run_once_s_max(settings: Settings, plan: FaultPlan | None) -> float:
    """Return the longest normal pass of the loop in seconds: retries, a transaction, an abort, slack."""
    delays_s = 0.0 if plan is None else plan.delays_s
    return (settings.batch_deadline_ms + 3 * settings.transaction_timeout_ms) / 1000 + 20 + delays_s


def call_s_max(settings: Settings) -> float:
    """Return the longest normal call of the transactional producer in seconds: its own timeout, and slack."""
    return max(settings.transaction_timeout_ms / 1000, 3 * RESET_S_MAX) + 10


def _warn(plan: FaultPlan) -> None:
    _log.warning(
        "FAULTS ARE INJECTED ON PURPOSE",
        fix="for tests only: in production, unset STREAM_FAULTS",
        stages={
            stage.value: f"{fault.rate:.0%} fail ({fault.error.value}), {fault.delay_s * plan.scale:g} s"
            for stage, fault in plan.stages.items()
        },
        seed=plan.seed,
    )
