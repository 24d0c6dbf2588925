"""`GET /v1/blobs/{id}`, `GET /v1/inputs/{partition}/{offset}` and `POST /v1/blobs`."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from stream.tools.serve import models, shown
from stream.tools.serve.any_text import ANY_TEXT
from stream.tools.serve.problems import ProblemRaised, responses
from stream.tools.serve.security import check_origin
from stream.tools.serve.service import Service, json_answer
from stream.tools.serve.submission import read_submission, submission_body
from stream.tools.serve.view import Outcome

WAIT_MS_MAX = 30_000
_ID_MAX = 5_000  # httptools takes URLs of 64 KiB; a character takes up to 12 bytes there
_OFFSET_MAX, _PARTITION_MAX = 2**63 - 1, 2**31 - 1
_MISSING = responses(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)
_LOCATION = {"schema": {"type": "string"}, "description": "Path of the outcome."}
_SUBMITTED: dict[int | str, dict[str, Any]] = {
    HTTPStatus.ACCEPTED.value: {
        "model": models.Accepted,
        "description": "The text will be counted once.",
        "headers": {"Location": _LOCATION},
    },
    HTTPStatus.OK.value: {"model": models.OutcomeOfBlob, "description": "The outcome of the text."},
    **responses(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
}

Wait = Annotated[int, Query(ge=0, le=WAIT_MS_MAX, description="Maximum time to wait for the outcome, in ms.")]
BlobId = Annotated[str, Path(min_length=1, max_length=_ID_MAX)]
Partition = Annotated[int, Path(ge=0, le=_PARTITION_MAX)]
Offset = Annotated[int, Path(ge=0, le=_OFFSET_MAX)]


class BlobRoutes:
    """The routes for outcomes of blobs and for new blobs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._topics = tuple(service.view.outcome_topics.values())

    def add_to(self, routes: APIRouter) -> None:
        blob = f"/blobs/{{blob_id:{ANY_TEXT}}}"
        routes.get(blob, responses=_MISSING, response_model_exclude_none=True)(self.blob)
        routes.get("/inputs/{partition}/{offset}", responses=_MISSING, response_model_exclude_none=True)(
            self.outcome_of_input
        )
        routes.post(
            "/blobs",
            status_code=HTTPStatus.ACCEPTED,
            dependencies=[Depends(check_origin)],
            openapi_extra=submission_body(),
            responses=_SUBMITTED,
        )(self.submit)

    async def blob(self, blob_id: BlobId, wait: Wait = 0) -> models.OutcomeOfBlob:
        """Return the newest result or dead letter of the blob with this id."""
        view = self._service.view
        outcome = await self._service.signal.until(lambda: view.outcome_of_blob(blob_id), wait / 1000)
        if outcome is None:
            raise self._missing(f"blob {blob_id[:100]}")
        return self._answer(outcome)

    async def outcome_of_input(
        self, partition: Partition, offset: Offset, wait: Wait = 0
    ) -> models.OutcomeOfBlob:
        """Return the result or dead letter of the blob at this position of the input topic."""
        outcome = await self._wait_for(partition, offset, wait)
        if outcome is None:
            raise self._missing(f"the input at {partition}:{offset}")
        return self._answer(outcome)

    async def submit(self, request: Request, wait: Wait = 0) -> Response:
        """Submit a text. The response is its position in the input or, with `wait`, its outcome."""
        service = self._service
        if service.submitter is None:
            detail = "submission is disabled; set STREAM_SERVE_SUBMIT=true to enable it"
            raise ProblemRaised(HTTPStatus.FORBIDDEN, detail)
        submission = await read_submission(request, service.settings.text_bytes_max)
        blob_id = submission.id or ""
        position = await service.submitter.submit(blob_id, submission.text)
        outcome = await self._wait_for(*position, wait)
        if outcome is not None:
            return json_answer(self._answer(outcome).model_dump(exclude_none=True))
        place = models.Position(topic=service.settings.input_topic, **position._asdict())
        accepted = models.Accepted(id=blob_id, input=place)
        location = f"/v1/inputs/{position.partition}/{position.offset}"
        return json_answer(accepted.model_dump(), HTTPStatus.ACCEPTED, {"location": location})

    async def _wait_for(self, partition: int, offset: int, wait_ms: int) -> Outcome | None:
        view = self._service.view
        return await self._service.signal.until(
            lambda: view.outcome_of_input(partition, offset), wait_ms / 1000
        )

    def _answer(self, outcome: Outcome) -> models.OutcomeOfBlob:
        fresh = shown.freshness(self._service.view.freshness(*self._topics))
        return models.OutcomeOfBlob(**shown.outcome(outcome), freshness=fresh)

    def _missing(self, what: str) -> ProblemRaised:
        kept = "is kept, up to the offsets in `freshness`"
        fresh = shown.freshness(self._service.view.freshness(*self._topics)).model_dump()
        detail = f"no result or dead letter of {what} {kept}"
        return ProblemRaised(HTTPStatus.NOT_FOUND, detail, freshness=fresh)
