"""Log lines: an event and its fields, as text or as JSON. The text and the key of a blob are never logged."""

import logging
import sys
from typing import Literal

import structlog

_everywhere: dict[str, object] = {}  # structlog's context variables belong to one thread


def bind_everywhere(**context: object) -> None:
    """Add fields to every log line of this process, in any thread."""
    _everywhere.update(context)


def _add_everywhere(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {**event, **_everywhere}


def configure_logs(log_format: Literal["auto", "text", "json"], *, debug: bool = False) -> None:
    """Write log lines to standard error. `auto` is text on a terminal, otherwise JSON."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if as_text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_everywhere,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        # One write per line, even if Python does not buffer, because several processes share the file.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # librdkafka repeats its lines for every broker and attempt, so they are only written with `debug`.
    librdkafka = logging.getLogger("librdkafka")
    librdkafka.handlers = [logging.StreamHandler(sys.stderr) if debug else logging.NullHandler()]
    librdkafka.setLevel(logging.DEBUG if debug else logging.CRITICAL)
    librdkafka.propagate = False
