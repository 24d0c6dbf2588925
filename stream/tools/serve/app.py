"""The application: the routes of the API, the page, and the probes."""

from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from stream import __version__
from stream.config import Settings
from stream.tools.serve import problems
from stream.tools.serve.blob_routes import BlobRoutes
from stream.tools.serve.metrics import add_metrics
from stream.tools.serve.problems import responses
from stream.tools.serve.security import SecurityHeaders, token_check
from stream.tools.serve.service import Service, json_answer
from stream.tools.serve.status_routes import StatusRoutes
from stream.tools.serve.total_routes import TotalRoutes

PAGE = Path(__file__).parent / "page"


def make_app(service: Service) -> FastAPI:
    """Return the application."""
    app = FastAPI(
        title="Anagram stream",
        version=__version__,
        summary="Totals and outcomes of text blobs, as committed in Kafka.",
        description="Every response is based on committed records and states which offsets it covers.",
        docs_url=None,  # they load scripts from other hosts
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    problems.add_handlers(app)
    token = service.settings.serve_token
    check = token_check(None if token is None else token.get_secret_value())
    dependencies = [Depends(check), Depends(problems.check_query)]
    app.include_router(_routes(service), prefix="/v1", dependencies=dependencies)
    _add_health(app, service)
    add_metrics(app, service, check)
    _add_page(app)
    app.add_middleware(SecurityHeaders)
    _describe_problems(app)
    return app


def _routes(service: Service) -> APIRouter:
    routes = APIRouter()
    TotalRoutes(service).add_to(routes)
    BlobRoutes(service).add_to(routes)
    StatusRoutes(service).add_to(routes)
    return routes


def _add_page(app: FastAPI) -> None:
    """Serve the page. Its files are below /page: a mount at / would respond to every wrong method."""

    async def index(_: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    app.router.routes.append(Route("/", index))
    app.mount("/page", StaticFiles(directory=PAGE))


def _add_health(app: FastAPI, service: Service) -> None:
    topics = (service.settings.count_topic, *service.view.outcome_topics.values())

    @app.get("/healthz/live", include_in_schema=False)
    async def live() -> Response:
        return json_answer({"live": True})

    @app.get("/healthz/ready", include_in_schema=False)
    async def ready() -> Response:
        """Whether the view has reached the end of the topics once: before, totals would be too small."""
        is_ready = service.view.freshness(*topics).age_s is not None
        reasons = [] if is_ready else ["the view is still reading the topics"]
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return json_answer({"ready": is_ready, "reasons": reasons}, status)


def _describe_problems(app: FastAPI) -> None:
    """Describe errors in OpenAPI as they are sent, not in FastAPI's own form."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = problems.schema()
    everywhere = responses(HTTPStatus.UNAUTHORIZED, HTTPStatus.UNPROCESSABLE_ENTITY)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] |= {str(code): response for code, response in everywhere.items()}


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document, which does not depend on settings."""
    service = SimpleNamespace(
        settings=Settings.model_construct(), view=SimpleNamespace(outcome_topics={}, totals=None)
    )
    return make_app(cast("Service", service)).openapi()
