"""Every error that this package raises on purpose. Its class is its recovery.

StreamError
├── Retriable      the surroundings are slow or unavailable: wait, then do the same again
│   └── StageFailed    a stage failed transiently on one record: retry it, a bounded number of times
│       └── StageValueError    the same, and a ValueError, as the stages of the exercise raise it
├── Abortable      the open transaction cannot commit: abort it, rewind, go on
├── InDoubt        the outcome of the transaction is unknown, or the producer is unusable: replace the
│                  producer by one with the same id, read committed offsets again, restore the tail
├── Blocked        one partition cannot run until an operator fixes something: pause it, the others go on
├── Rejected       one record cannot be processed: dead letter with the reason, go on
└── Fatal          stop: exit status 1; nothing uncommitted is lost
    ├── Fenced     another member owns this transactional id
    ├── Refused    to go on would break a promise; carries the command that fixes it
    │   └── TooManyRejections   the same, found within a transaction: abort it first
    └── Misconfigured   wrong settings or usage: exit status 2
"""

from enum import StrEnum


class StreamError(Exception):
    """The root of all errors that this package raises on purpose."""


class Retriable(StreamError):
    """The surroundings are slow or unavailable; the same call may succeed later."""


class StageFailed(Retriable):
    """A stage failed transiently on one record.

    Attributes:
        stage: its name.
    """

    def __init__(self, stage: str, detail: str) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage = stage


class StageValueError(StageFailed, ValueError):
    """The same, for code that catches ValueError: the stages of the exercise raise that."""


class Abortable(StreamError):
    """The open transaction cannot commit: abort, rewind, go on."""


class InDoubt(StreamError):
    """Whether the transaction committed is unknown, or its producer is unusable."""


class Blocked(StreamError):
    """One partition cannot run until an operator fixes something; the others go on.

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
    UNDECODABLE = "undecodable"
    BAD_JSON = "bad-json"
    WRONG_SHAPE = "wrong-shape"
    TEXT_TOO_LARGE = "text-too-large"
    RESULT_TOO_LARGE = "result-too-large"
    RETRIES_EXHAUSTED = "retries-exhausted"


class Rejected(StreamError):
    """One record cannot be processed and goes to the dead-letter topic.

    Attributes:
        reason: one of the closed list.
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
    """Another member owns this transactional id."""


class Refused(Fatal):
    """To go on would break a promise.

    Attributes:
        hint: the command or setting that fixes it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class TooManyRejections(Refused):
    """More records in a row were rejected than allowed: the fault is the software's, not the data's.

    Raised while a batch is processed, so its open transaction is aborted before the worker stops.
    """


class Misconfigured(Fatal):
    """Wrong settings or usage; nothing was started.

    Attributes:
        hint: the command or setting that fixes it, or empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
