"""Errors of the HTTP API, in the form of RFC 9457."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stream.tools.serve.models import Problem

CONTENT_TYPE = "application/problem+json"


class ProblemRaised(Exception):
    """An error response."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,  # noqa: ANN401 - JSON
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.more = more


def problem(
    status: HTTPStatus,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **more: Any,  # noqa: ANN401 - JSON
) -> Response:
    """Return the response for an error; `more` are further fields."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, **more}
    return Response(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS), status, headers, CONTENT_TYPE)


def responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the description of errors for OpenAPI."""
    return {
        status.value: {
            "description": status.phrase,
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


async def check_query(request: Request) -> None:
    """Reject a parameter that is given more than once, because it is ambiguous."""
    for name in request.query_params:
        if (number := len(request.query_params.getlist(name))) > 1:
            raise ProblemRaised(HTTPStatus.UNPROCESSABLE_ENTITY, f"query {name}: given {number} times")


def add_handlers(app: FastAPI) -> None:
    """Return every error of this app as a problem."""

    async def raised(_: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemRaised)
        return problem(error.status, error.detail, error.headers, **error.more)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        location = " ".join(str(part) for part in first["loc"])
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{location}: {first['msg']}")

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(HTTPStatus(error.status_code), str(error.detail), error.headers)

    app.add_exception_handler(ProblemRaised, raised)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)


def schema() -> dict[str, Any]:
    """Return the schema of a problem, for OpenAPI."""
    return Problem.model_json_schema()
