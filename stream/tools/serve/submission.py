"""Reads the body of a submission: JSON, or a plain text, of bounded size."""

import uuid
from http import HTTPStatus
from typing import Any

from fastapi import Request
from pydantic import ValidationError

from stream.tools.serve.models import Submission
from stream.tools.serve.problems import ProblemRaised

_JSON, _TEXT = "application/json", "text/plain"
_JSON_FACTOR, _FRAMING_BYTES = 6, 8 * 1024  # a character takes at most `\u0000` in JSON; id and field names


def submission_body() -> dict[str, Any]:
    """Return the description of the body for OpenAPI."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": Submission.model_json_schema()},
                _TEXT: {"schema": {"type": "string"}},
            },
        }
    }


async def read_submission(request: Request, text_bytes_max: int) -> Submission:
    """Read the text and its id; create an id if the client gave none.

    Raises:
        ProblemRaised: the body is too large, of another type, not UTF-8, or not of the right form.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {_JSON, _TEXT}:
        raise ProblemRaised(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {_JSON} with a field `text`, or {_TEXT} in UTF-8"
        )
    is_json = media_type == _JSON
    body = await _read(request, text_bytes_max * (_JSON_FACTOR if is_json else 1) + _FRAMING_BYTES)
    try:
        submission = Submission.model_validate_json(body) if is_json else Submission(text=body.decode())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        is_syntax = first["type"] == "json_invalid"
        status = HTTPStatus.BAD_REQUEST if is_syntax else HTTPStatus.UNPROCESSABLE_ENTITY
        location = ".".join(str(part) for part in first["loc"])
        raise ProblemRaised(status, f"{location}: {first['msg']}" if location else first["msg"]) from error
    except UnicodeDecodeError as error:
        raise ProblemRaised(HTTPStatus.BAD_REQUEST, f"not UTF-8 at byte {error.start}") from error
    size = len(submission.text.encode())
    if size > text_bytes_max:
        raise _too_large(f"the text has {size} bytes; the limit is {text_bytes_max}")
    return submission.model_copy(update={"id": submission.id or str(uuid.uuid4())})


async def _read(request: Request, bytes_max: int) -> bytes:
    """Read the body; stop at the limit, whatever length the client declared."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise _too_large(f"the body has more than {bytes_max} bytes")
    return bytes(body)


def _too_large(detail: str) -> ProblemRaised:
    return ProblemRaised(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
