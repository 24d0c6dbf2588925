"""`GET /v1/status` and `GET /v1/stream`."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from stream.tools.serve import events, models, shown
from stream.tools.serve.problems import ProblemRaised, responses
from stream.tools.serve.service import Service

STREAMS_MAX = 200  # concurrent readers of the event stream
_NAMES = (events.OUTCOMES, events.TOTALS, events.STATUS)
_ALL = ",".join(_NAMES)
_ONE = f"({'|'.join(_NAMES)})"
_STREAMED: dict[int | str, dict[str, Any]] = {
    HTTPStatus.OK.value: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
    **responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
}

Wanted = Annotated[
    str,
    Query(
        alias="events",
        pattern=rf"^{_ONE}(,{_ONE}){{0,9}}$",
        description="The events to send, separated by commas.",
    ),
]
Rate = Annotated[
    float | None,
    Query(gt=0, le=1e6, description="Maximum outcomes per second; others are skipped. By default, all."),
]


class StatusRoutes:
    """The routes for the status and the event stream."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, routes: APIRouter) -> None:
        routes.get("/status")(self.status)
        routes.get("/stream", response_class=StreamingResponse, responses=_STREAMED)(self.stream)

    async def status(self) -> models.Status:
        """Return the progress of the workers and of this view."""
        return shown.status(self._service)

    async def stream(
        self,
        wanted: Wanted = _ALL,
        rate: Rate = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """Follow outcomes, changed totals and the status, as server-sent events.

        `Last-Event-ID` resumes after an event, on any replica. The event `gap` reports that outcomes are
        missing before the next one.
        """
        if self._service.streams >= STREAMS_MAX:
            raise ProblemRaised(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the event stream already has {STREAMS_MAX} readers",
                {"retry-after": "5"},
            )
        content = self._content(wanted.split(","), rate, last_event_id)
        return StreamingResponse(content, media_type="text/event-stream")

    async def _content(
        self, wanted: list[str], rate: float | None, last_event_id: str | None
    ) -> AsyncIterator[bytes]:
        service = self._service
        service.streams += 1
        try:
            follower = events.EventStream(
                service.view,
                service.signal,
                service.tag,
                wanted,
                rate,
                lambda: shown.status(service).model_dump(),
                self._changed_totals,
                shown.outcome,
                service.is_closing,
            )
            async for chunk in follower.run(last_event_id):
                yield chunk
        finally:
            service.streams -= 1

    def _changed_totals(self, version: int, limit: int) -> list[dict[str, Any]]:
        service = self._service
        changed = service.view.totals.changed_since(version, limit)
        return [shown.signature_total(each, service.words).model_dump() for each in changed]
