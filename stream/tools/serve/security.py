"""Headers that protect browsers, the bearer token, and protection against cross-site requests."""

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.tools.serve.problems import ProblemRaised

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_BEARER = HTTPBearer(auto_error=False, description="The token in STREAM_SERVE_TOKEN, if one is set.")
Given = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


class SecurityHeaders:
    """Adds headers to every response; caches must not store responses of the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


def token_check(token: str | None) -> Callable[..., Awaitable[None]]:
    """Return a dependency that accepts only requests with the token, or all requests if there is none."""

    async def check(given: Given) -> None:
        if token is None:
            return
        if given is None or not hmac.compare_digest(given.credentials.encode(), token.encode()):
            raise ProblemRaised(
                HTTPStatus.UNAUTHORIZED,
                "send the header Authorization: Bearer TOKEN, with the token in STREAM_SERVE_TOKEN",
                {"www-authenticate": "Bearer"},
            )

    return check


async def check_origin(request: Request) -> None:
    """Reject a request that a page of another site makes a browser send: such a page could submit texts."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ProblemRaised(HTTPStatus.FORBIDDEN, f"the request came from another site, {origin[:200]}")
