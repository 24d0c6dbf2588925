"""Every error that this package raises on purpose. The class of an error determines how to recover.

StreamError
├── Retriable      Kafka or a store is not available yet: wait, then repeat the call
│   └── StageFailed    a stage failed transiently on one record: retry it, a bounded number of times
│       └── StageValueError    the same as a ValueError, which the stages of the exercise raise
├── Abortable      the open transaction cannot commit: abort it, rewind, continue
├── InDoubt        the outcome of the transaction is unknown, or the producer is unusable: replace the
│                  producer with one of the same id, read committed offsets again, restore the tail
├── Blocked        one partition cannot run until an operator fixes something: pause only this one
├── Rejected       one record cannot be processed: write a dead letter with the reason, continue
└── Fatal          stop with exit status 1; the next worker reads uncommitted input again. Under a
    │              supervisor the other processes continue, unless the error would affect them as well:
    ├── Fenced     another member owns this transactional id
    ├── Refused    a precondition is not met; carries the command that fixes it; stops all processes
    │   └── MustNotCommit   the same within a transaction: abort it first
    │       ├── TooManyRejections   too many records in a row were rejected
    │       └── LogsChanged         a topic was created again, or a log was truncated
    └── Misconfigured   wrong settings or usage: exit status 2; stops all processes
"""

from enum import StrEnum


class StreamError(Exception):
    """The root of all errors that this package raises on purpose."""


class Retriable(StreamError):
    """Kafka or a store is not available yet; the same call may succeed later."""


class StageFailed(Retriable):
    """A stage failed transiently on one record.

    Attributes:
        stage: the name of the stage.
    """

    def __init__(self, stage: str, detail: str) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage = stage


class StageValueError(StageFailed, ValueError):
    """A `StageFailed` for code that catches ValueError, which the stages of the exercise raise."""


class Abortable(StreamError):
    """The open transaction cannot commit: abort, rewind, continue."""


class InDoubt(StreamError):
    """The outcome of the transaction is unknown, or its producer is unusable."""


class Blocked(StreamError):
    """One partition cannot run until an operator fixes something; the others continue.

    Attributes:
        hint: the command that fixes it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Reason(StrEnum):
    """Why a record was rejected: the values of the header `dead-letter.reason`."""

    BAD_HEADERS = "bad-headers"
    NULL_VALUE = "null-value"
    CONTENT_TYPE = "unsupported-content-type"
    SCHEMA_REGISTRY = "schema-registry"
    UNDECODABLE = "undecodable"
    BAD_JSON = "bad-json"
    WRONG_SHAPE = "wrong-shape"
    TEXT_TOO_LARGE = "text-too-large"
    RESULT_TOO_LARGE = "result-too-large"
    RETRIES_EXHAUSTED = "retries-exhausted"


class Rejected(StreamError):
    """One record cannot be processed and goes to the dead-letter topic.

    Attributes:
        reason: why, from a closed list.
        stage: the stage that rejected it.
        detail: for people; never contains the text of the blob.
        attempts: number of attempts of the stage.
    """

    def __init__(self, reason: Reason, stage: str, detail: str, attempts: int = 1) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.stage = stage
        self.detail = detail
        self.attempts = attempts


class Fatal(StreamError):
    """The worker stops; a restart continues from the last commit."""


class Fenced(Fatal):
    """The broker refuses this producer or member as one that was replaced.

    Attributes:
        hint: what fixes it if another worker took over.
    """

    hint = (
        "give each worker its own STREAM_INSTANCE_ID, or none; to list the members of the group and their "
        "hosts, run: anagram-stream lag"
    )


class Refused(Fatal):
    """A precondition is not met, so the worker or command must not continue.

    Attributes:
        hint: the command or setting that fixes it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class MustNotCommit(Refused):
    """The open transaction must not be committed: abort it, then stop."""


class TooManyRejections(MustNotCommit):
    """More records in a row were rejected than allowed, which suggests a defect, not bad data."""


class LogsChanged(MustNotCommit):
    """A topic was deleted and created again, or a log lost records: it no longer matches the totals."""


class Misconfigured(Fatal):
    """Wrong settings or usage; nothing was started.

    Attributes:
        hint: the command or setting that fixes it, or empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
