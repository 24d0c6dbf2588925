"""`GET /metrics`: requests, and age and content of the view."""

import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import Depends, FastAPI, Request, Response
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.telemetry.metrics import ServeMetrics
from stream.tools.serve.service import Service

_TOP = 20
Rows = Mapping[tuple[str, ...], float]


class MeasuredRequests:
    """Measures every request until the head of its response: the event stream has no end."""

    def __init__(self, app: ASGIApp, metrics: ServeMetrics) -> None:
        self._app = app
        self._requests = metrics.requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path_format", "other")  # without the prefix /v1
                labels = self._requests.labels(route, str(message["status"]))
                labels.observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, measured)


def add_metrics(app: FastAPI, service: Service, check: Callable[..., Awaitable[None]]) -> None:
    """Measure the requests of an app, and serve the metrics to requests that pass the token check."""
    metrics = ServeMetrics()
    _connect(metrics, service)

    async def exposition(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), headers={"content-type": content_type})

    app.add_api_route("/metrics", exposition, include_in_schema=False, dependencies=[Depends(check)])
    app.add_middleware(MeasuredRequests, metrics=metrics)


def _connect(metrics: ServeMetrics, service: Service) -> None:
    """Let each scrape read the view. An unknown number has no sample: 0 would look like a fact."""
    view, totals = service.view, service.view.totals
    topics = (service.settings.count_topic, *view.outcome_topics.values())

    def ages() -> Rows:
        ages_s = {topic: view.freshness(topic).age_s for topic in topics}
        return {(topic,): age_s for topic, age_s in ages_s.items() if age_s is not None}

    def when_complete(rows: Callable[[], Rows]) -> Callable[[], Rows]:
        """While the view is built, its totals are too small."""
        return lambda: rows() if view.freshness(service.settings.count_topic).age_s is not None else {}

    metrics.readers.set_function(lambda: service.streams)
    metrics.age.read = ages
    metrics.words.read = when_complete(lambda: {(): totals.words})
    metrics.signatures.read = when_complete(lambda: {(): totals.signatures})
    metrics.top.read = when_complete(lambda: {(each.signature,): each.total for each in totals.top(_TOP)})
    metrics.results.read = lambda: {(): view.results}
    # A copy: the follower may add a reason meanwhile.
    metrics.dead_letters.read = lambda: {(reason,): n for reason, n in dict(view.dead_letters).items()}
