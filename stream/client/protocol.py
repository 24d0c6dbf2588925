"""The part that both clients share: requests, responses, and their meaning. No I/O.

ClientError
├── Unreachable     the server does not respond, or the connection broke: the same call may succeed later
├── NoOutcome       no result or dead letter in time: the workers may be behind, or none is running
├── TextRejected    the text has a dead letter instead of a result; carries the reason
└── Answered        the server responded with an error
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from stream.core.records import AnagramResult
from stream.errors import StreamError

WAIT_S_MAX = 30.0  # per request; a longer wait takes several requests
REQUEST_S_MAX = 30.0
RECONNECT_S = 0.5
SILENCE_S_MAX = 60.0  # of the event stream, which sends a keepalive every 15 s
DEFAULT_URL = "http://localhost:8000"


class ClientError(StreamError):
    """The root of the errors of the client."""


class Unreachable(ClientError):
    """The server does not respond; the same call may succeed later."""


class NoOutcome(ClientError):
    """The text has no outcome in time; it is in the input topic and will be counted once."""


class Answered(ClientError):
    """The server responded with an error.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{detail} (status {status})")
        self.status = status


class TextRejected(ClientError):
    """The text has a dead letter instead of a result.

    Attributes:
        reason: why, from the closed list of `dead-letter.reason`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Position(NamedTuple):
    """The position of a text in the input topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result or a dead letter.

    Attributes:
        result: None if the text was rejected.
        reason, message: why it was rejected; empty for a result.
        input: position of the text in the input topic.
        event_id: resumes `follow` after this outcome, possibly repeating outcomes of the same event; empty
            if the outcome did not come from `follow`.
    """

    blob_id: str
    input: Position
    result: AnagramResult | None
    reason: str = ""
    message: str = ""
    event_id: str = ""

    def result_or_raise(self) -> AnagramResult:
        """Return the result.

        Raises:
            TextRejected: it is a dead letter.
        """
        if self.result is None:
            raise TextRejected(self.reason, self.message)
        return self.result


def submission(text: str, blob_id: str | None) -> dict[str, str]:
    """Return the body of a submission."""
    return {"text": text} if blob_id is None else {"text": text, "id": blob_id}


def word_path(word: str) -> str:
    return f"/v1/words/{quote(word, safe='')}"


def input_path(position: Position) -> str:
    return f"/v1/inputs/{position.partition}/{position.offset}"


def headers(token: str | None) -> dict[str, str]:
    """Return the headers of all requests."""
    return {} if token is None else {"authorization": f"Bearer {token}"}


def read_answer(status: int, body: bytes) -> Mapping[str, Any]:
    """Return the content of a response.

    Raises:
        Answered: it is an error.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise Answered(status, "the response is not a JSON object: is the server `anagram-stream serve`?")
    if status >= 400:  # noqa: PLR2004 - errors of HTTP
        raise Answered(status, str(content.get("detail", "an error without details")))
    return content


def read_position(content: Mapping[str, Any]) -> Position:
    place = content["input"]
    return Position(place["partition"], place["offset"])


def read_outcome(content: Mapping[str, Any], event_id: str = "") -> Outcome:
    """Read `Outcome` of the API."""
    if content["outcome"] == "result":
        result = AnagramResult.model_validate(content["result"])
        source = Position(result.source.partition, result.source.offset)
        return Outcome(result.blob_id, source, result, event_id=event_id)
    letter = content["dead_letter"]
    source = Position(letter["source"]["partition"], letter["source"]["offset"])
    reason, message = str(letter.get("reason")), str(letter.get("message"))
    return Outcome(letter["blob_id"], source, None, reason, message, event_id)


@dataclass(slots=True)
class EventParser:
    """Assembles server-sent events from lines.

    Attributes:
        last_id: id of the last event that had one.
    """

    last_id: str = ""
    _before: str = ""
    _name: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, lines: Iterable[str]) -> Iterator[Outcome]:
        """Yield the outcomes that these lines complete."""
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._name = value
            elif name == "data":
                self._data.append(value)
            elif name == "id":
                self._before, self.last_id = self.last_id, value
            elif not line:
                if self._name == "outcomes" and self._data:
                    yield from self._outcomes(orjson.loads("\n".join(self._data))["outcomes"])
                self._name, self._data = "", []

    def _outcomes(self, several: Sequence[Mapping[str, Any]]) -> Iterator[Outcome]:
        """Yield outcomes; the id of an event resumes after all its outcomes, so only the last one gets it."""
        for each in several[:-1]:
            yield read_outcome(each, self._before)
        yield from (read_outcome(each, self.last_id) for each in several[-1:])
