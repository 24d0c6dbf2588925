"""All documents of the folder `schemas/`."""

from importlib.util import find_spec
from typing import Any

from stream.config import Settings
from stream.core.schemas import schemas
from stream.tools.contracts.asyncapi import asyncapi

OPENAPI = "openapi.v1.json"

Document = dict[str, Any]


def documents() -> dict[str, Document]:
    """Return file name -> document, for the default names of topics.

    The OpenAPI document is left out if the library of the extra `serve` that generates it is missing.
    """
    defaults = Settings.model_construct()
    return {**schemas(), "asyncapi.json": asyncapi(defaults), **_openapi()}


def _openapi() -> dict[str, Document]:
    if find_spec("fastapi") is None:
        return {}
    from stream.tools.serve.app import openapi  # noqa: PLC0415 - of the extra

    return {OPENAPI: openapi()}
