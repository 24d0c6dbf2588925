"""Log lines: an event and its fields, as text or as JSON. The text and the key of a blob are never logged."""

import logging
import os
import re
import sys
from typing import Any, Literal

import structlog

_SAME_IN_EACH_LINE = ("group", "instance")  # of a worker; a terminal shows them once
_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_INDENT = " " * 4
_WIDTH_MIN = 40  # a terminal without a size reports 0
_everywhere: dict[str, object] = {}  # structlog's context variables belong to one thread


def bind_everywhere(**context: object) -> None:
    """Add fields to every log line of this process, in any thread."""
    _everywhere.update(context)


def _add_everywhere(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {**event, **_everywhere}


def _for_people(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Shorten an event: constants are shown once, and the state of all partitions is a sentence."""
    if event["event"] == "ready":
        event["event"] = f"ready: {event.pop('running')} of {event.pop('assigned')} partitions running"
    if event["event"] != "worker started":
        for name in _SAME_IN_EACH_LINE:
            event.pop(name, None)
    return event


def _fit_terminal(_: object, __: str, line: Any) -> str:  # noqa: ANN401 - what the renderer returns
    """Break a line that is wider than the terminal between words."""
    assert isinstance(line, str)
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return line
    return line if "\n" in line or width < _WIDTH_MIN else wrap(line, width)


def wrap(line: str, width: int) -> str:
    """Return the line, broken between words into lines of at most `width` characters, without styles."""
    lines, used = [""], 0
    for word in line.split(" "):
        length = len(_STYLES.sub("", word))
        if used and used + 1 + length > width and length:
            lines.append(_INDENT + word)
            used = len(_INDENT) + length
        else:
            lines[-1] += (" " if lines[-1] else "") + word
            used = used + 1 + length if used else length
    return "\n".join(lines)


def configure_logs(
    log_format: Literal["auto", "text", "json"], *, debug: bool = False, in_colour: bool = False
) -> None:
    """Write log lines to standard error. `auto` is text on a terminal, otherwise JSON."""
    is_terminal = sys.stderr.isatty()
    as_text = log_format == "text" or (log_format == "auto" and is_terminal)
    time = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if as_text and is_terminal:
        time = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    renderers: list[structlog.typing.Processor] = (
        [_for_people, structlog.dev.ConsoleRenderer(colors=in_colour, pad_event_to=0), _fit_terminal]
        if as_text
        else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_everywhere,
            structlog.processors.add_log_level,
            time,
            *renderers,
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
