"""The client with coroutines."""

import asyncio
import time
from collections.abc import AsyncGenerator
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx2

from stream.client import protocol
from stream.client.protocol import Answered, EventParser, NoOutcome, Outcome, Position, Unreachable
from stream.core.records import AnagramResult


class AsyncClient:
    """A connection to `anagram-stream serve`; a context manager."""

    def __init__(self, url: str = protocol.DEFAULT_URL, token: str | None = None) -> None:
        """`token`: the value of STREAM_SERVE_TOKEN, if the server requires one."""
        self._http = httpx2.AsyncClient(
            base_url=url,
            headers=protocol.headers(token),
            timeout=protocol.REQUEST_S_MAX + protocol.WAIT_S_MAX,
        )

    async def submit(self, text: str, blob_id: str | None = None) -> Position:
        """Send a text to the input topic; return its position. It will be counted once.

        Raises:
            Answered: the server does not accept texts, or not this one.
            Unreachable: the server does not respond. The text may or may not be in the topic.
        """
        body = protocol.submission(text, blob_id)
        return protocol.read_position(await self._request("POST", "/v1/blobs", json=body))

    async def result(self, position: Position, timeout_s: float = 10.0) -> AnagramResult:
        """Wait for the result of a submitted text.

        Raises:
            TextRejected: it has a dead letter instead.
            NoOutcome: there is neither a result nor a dead letter after `timeout_s`.
        """
        return (await self.outcome(position, timeout_s)).result_or_raise()

    async def outcome(self, position: Position, timeout_s: float = 10.0) -> Outcome:
        """Wait for the result or the dead letter of a submitted text.

        Raises:
            NoOutcome: there is neither a result nor a dead letter after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            wait_s = min(protocol.WAIT_S_MAX, max(0.0, deadline - time.monotonic()))
            try:
                wait_ms = int(wait_s * 1000)
                path, params = protocol.input_path(position), {"wait": wait_ms}
                return protocol.read_outcome(await self._request("GET", path, params=params))
            except Answered as why:
                if why.status != HTTPStatus.NOT_FOUND:
                    raise
                if time.monotonic() >= deadline:
                    place = f"{position.partition}:{position.offset}"
                    raise NoOutcome(f"no outcome of the text at {place} within {timeout_s:g} s") from why

    async def total(self, word: str) -> int:
        """Return how often the word and its anagrams were counted.

        Raises:
            Answered: `word` is not a single word.
        """
        return int((await self._request("GET", protocol.word_path(word)))["total"])

    async def top(self, limit: int = 20) -> list[tuple[str, int]]:
        """Return the signatures with the largest totals, and these totals."""
        response = await self._request("GET", "/v1/top", params={"limit": limit})
        return [(each["signature"], each["total"]) for each in response["top"]]

    async def follow(self, after: str = "") -> AsyncGenerator[Outcome]:
        """Yield outcomes as they are committed, from now on or after an `event_id`, without an end.

        A broken connection is resumed at its position. To continue in a later run, pass the `event_id` of the
        last outcome: no outcome is missed, and those of one event may be repeated.

        Raises:
            Answered: the server rejected the request, for example because of a wrong token.
        """
        parser = EventParser(after)
        while True:
            more = {"last-event-id": parser.last_id} if parser.last_id else {}
            try:
                async with self._http.stream(
                    "GET",
                    "/v1/stream",
                    params={"events": "outcomes"},
                    headers=more,
                    timeout=httpx2.Timeout(protocol.REQUEST_S_MAX, read=protocol.SILENCE_S_MAX),
                ) as response:
                    if response.status_code != HTTPStatus.OK:
                        protocol.read_answer(response.status_code, await response.aread())
                    async for line in response.aiter_lines():
                        for outcome in parser.feed([line]):
                            yield outcome
            except httpx2.TransportError:
                parser = EventParser(parser.last_id)
            await asyncio.sleep(protocol.RECONNECT_S)

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _request(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401 - JSON
        try:
            response = await self._http.request(method, path, **more)
        except httpx2.TransportError as error:
            raise Unreachable(f"{self._http.base_url} does not respond: {error}") from error
        return protocol.read_answer(response.status_code, response.content)
