"""The dependencies of the routes, and their JSON responses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2s
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Response

from stream.config import Settings
from stream.tools.serve.group_poller import GroupPoller
from stream.tools.serve.signal import ViewSignal
from stream.tools.serve.submitter import Submitter
from stream.tools.serve.view import View


@dataclass(slots=True)
class Service:
    """The dependencies of the routes.

    Attributes:
        words: signature -> words of the dictionary.
        digest_differs: whether the totals were counted with another dictionary.
        submitter: None if submission is disabled.
        is_closing: whether the server stops.
    """

    settings: Settings
    view: View
    words: Mapping[str, tuple[str, ...]]
    digest_differs: Callable[[], bool]
    group: GroupPoller
    signal: ViewSignal
    submitter: Submitter | None
    topic_ids: Mapping[str, str]
    is_closing: Callable[[], bool]
    streams: int = 0

    @property
    def tag(self) -> str:
        """Identifies the topics of the outcomes in event ids."""
        ids = [self.topic_ids[topic] for topic in self.view.outcome_topics.values()]
        return blake2s(" ".join(ids).encode(), digest_size=4).hexdigest()


def json_answer(
    content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS), status, headers, "application/json"
    )
