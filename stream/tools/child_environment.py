"""Environments of child processes: chosen settings replace the STREAM_* variables of this process."""

import os

from pydantic import SecretStr

from stream.config import PREFIX, Settings


def environment_without_settings() -> dict[str, str]:
    """Return the environment of this process without its STREAM_* variables."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}


def child_environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return the environment of a child process that uses these settings and the variables in `more`."""
    chosen = {
        PREFIX + name.upper(): _written(value)
        for name, value in settings.model_dump(exclude_none=True).items()
    }
    return {**environment_without_settings(), **chosen, **more}


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)
