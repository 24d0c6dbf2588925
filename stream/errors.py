"""Every error that this package raises on purpose. Its class is its recovery.

StreamError
├── Retriable      the surroundings are slow or away: wait, then do the same again
│   └── StageFailed    one step on one record failed in passing: try it again, a bounded number of times
│       └── StageValueError    the same, and a ValueError, as the exercise's stages raise it
├── Abortable      the open transaction cannot commit: abort it, rewind, go on
├── InDoubt        the transaction's outcome is unknown or the producer unusable: throw the producer
│                  away, make a new one of the same id, read committed offsets again, restore the tail
├── Blocked        one partition cannot run until somebody mends its surroundings: pause it, the others go on
├── Rejected       one record cannot be processed: dead letter with the reason, go on
└── Fatal          stop: exit status 1; nothing uncommitted is lost
    ├── Fenced     another member owns our transactional id
    ├── Refused    going on would break a promise; carries the command that fixes it
    └── Misconfigured   wrong settings or usage: exit status 2
"""

from enum import StrEnum


class StreamError(Exception):
    """The root: what the package raises on purpose."""


class Retriable(StreamError):
    """The surroundings are slow or away; the same call may succeed later."""


class StageFailed(Retriable):
    """One step on one record failed in passing.

    Attributes:
        stage: the step that failed.
    """

    def __init__(self, stage: str, detail: str) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage = stage


class StageValueError(StageFailed, ValueError):
    """The same, for code that catches ValueError: the stages of the exercise raise that."""


class Abortable(StreamError):
    """The open transaction cannot commit: abort, rewind, go on."""


class InDoubt(StreamError):
    """Whether the transaction committed is unknown, or its producer can no longer be used."""


class Blocked(StreamError):
    """One partition cannot run until somebody mends its surroundings; the others go on.

    Attributes:
        hint: the command that fixes it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Reason(StrEnum):
    """Why a record was rejected: the closed list behind the header `dead-letter.reason`."""

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
        reason: from the closed list.
        stage: the step that rejected it.
        detail: for people; never the text itself.
        attempts: how often the step was tried.
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
    """Another member owns our transactional id."""


class Refused(Fatal):
    """Going on would break a promise.

    Attributes:
        hint: the command or setting that fixes it, for people.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Misconfigured(Fatal):
    """Wrong settings or usage; nothing was started.

    Attributes:
        hint: the command or setting that fixes it, or nothing.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
