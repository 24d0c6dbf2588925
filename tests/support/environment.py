"""Settings of a single test."""

import uuid
from pathlib import Path

# Short sessions, so that the successor of a killed worker does not wait for 45 s.
SHORT_SESSIONS = {
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.heartbeat.interval.ms": "500",
}

# For a broker that is never killed: the transaction of a dead worker is aborted soon after its timeout.
SOON_ABORTED = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000"}


def own_env(kafka: str, folder: Path) -> dict[str, str]:
    own = uuid.uuid4().hex[:8]
    return {
        "STREAM_BOOTSTRAP_SERVERS": kafka,
        "STREAM_INPUT_TOPIC": f"text-blobs-{own}",
        "STREAM_RESULT_TOPIC": f"anagram-results-{own}",
        "STREAM_COUNT_TOPIC": f"signature-counts-{own}",
        "STREAM_DEAD_LETTER_TOPIC": f"dead-letters-{own}",
        "STREAM_GROUP_ID": f"anagram-counter-{own}",
        "STREAM_STATE_DIR": str(folder / "state"),
        "STREAM_TRANSACTION_TIMEOUT_MS": "5000",
        "STREAM_LOG_FORMAT": "json",
        "STREAM_PROCESSES": "1",  # the process that a test kills is then the worker, not a supervisor
    }
