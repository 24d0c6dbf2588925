"""Settings -> the environment of a child process that is to have them."""

import os

from stream.config import PREFIX, Settings


def child_environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return the environment of a child process that is to have these settings, and `more`."""
    base = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    values = settings.model_dump(exclude_none=True)
    given = {
        PREFIX + name.upper(): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
    }
    return {**base, **given, **more}
