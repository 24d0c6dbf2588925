"""`GET /v1/words/{word}` and `GET /v1/top`."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from stream.core.signature import signature
from stream.core.text import words as words_of
from stream.tools.serve import models, shown
from stream.tools.serve.any_text import ANY_TEXT
from stream.tools.serve.problems import ProblemRaised, responses
from stream.tools.serve.service import Service

TOP_MAX = 1_000
_INVALID = responses(HTTPStatus.UNPROCESSABLE_ENTITY)

_ONE_WORD = r"^[^A-Za-z0-9]*[A-Za-z0-9][^-\s\x1c-\x1f\x85]*[^A-Za-z0-9]*$"  # for clients; `words_of` decides

Word = Annotated[str, Path(min_length=1, max_length=1_000, json_schema_extra={"pattern": _ONE_WORD})]
Limit = Annotated[int, Query(ge=1, le=TOP_MAX)]


class TotalRoutes:
    """The routes for totals."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, routes: APIRouter) -> None:
        routes.get(f"/words/{{word:{ANY_TEXT}}}", responses=_INVALID)(self.word_total)
        routes.get("/top", responses=_INVALID)(self.top)

    async def word_total(self, word: Word) -> models.WordTotal:
        """Return how often a word and its anagrams were counted."""
        several = words_of(word)
        if len(several) != 1:
            detail = f"{len(several)} words instead of one; a word consists of a-z, A-Z and 0-9"
            raise ProblemRaised(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        key = signature(several[0])
        return models.WordTotal(
            word=several[0],
            signature=key,
            total=self._service.view.totals.total(key.encode()),
            words=list(self._service.words.get(key, ())),
            freshness=self._freshness(),
        )

    async def top(self, limit: Limit = 20) -> models.Top:
        """Return the signatures with the largest totals."""
        totals, words = self._service.view.totals.top(limit), self._service.words
        return models.Top(
            top=[shown.signature_total(each, words) for each in totals], freshness=self._freshness()
        )

    def _freshness(self) -> models.Freshness:
        return shown.freshness(self._service.view.freshness(self._service.settings.count_topic))
