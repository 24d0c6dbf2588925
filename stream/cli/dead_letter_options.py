"""The filters that the commands of `dead-letters` share."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from stream.cli.times import HELP, parse_time
from stream.errors import Misconfigured, Reason
from stream.tools.dead_letters.selection import Selection

_FILTERS = "Filters"


def _option(help_text: str, metavar: str | None = None) -> Any:  # noqa: ANN401 - as in typer
    return typer.Option(help=help_text, metavar=metavar, show_default=False, rich_help_panel=_FILTERS)


def _selection(  # noqa: PLR0913, PLR0917 - one for each option
    reason: Annotated[
        list[Reason] | None,
        _option(f"Only dead letters with this reason: {', '.join(Reason)}. Repeatable.", metavar="REASON"),
    ] = None,
    stage: Annotated[list[str] | None, _option("Only dead letters from this stage. Repeatable.")] = None,
    fingerprint: Annotated[
        list[str] | None, _option("Only dead letters with this fingerprint (see `summary`). Repeatable.")
    ] = None,
    partition: Annotated[
        list[int] | None, _option("Only this partition of the dead-letter topic. Repeatable.")
    ] = None,
    since: Annotated[str | None, _option(f"Only dead letters since this time: {HELP}.")] = None,
    until: Annotated[str | None, _option("Only dead letters before this time.")] = None,
    header: Annotated[
        list[str] | None,
        _option("Only dead letters with this header: NAME=VALUE. Repeatable; all must match."),
    ] = None,
) -> Selection:
    """Return the filters.

    Raises:
        Misconfigured: a filter is wrong.
    """
    return Selection(
        frozenset(each.value for each in reason or ()),
        frozenset(stage or ()),
        frozenset(fingerprint or ()),
        frozenset(partition or ()),
        None if since is None else parse_time(since, "--since"),
        None if until is None else parse_time(until, "--until"),
        tuple(map(_header, header or ())),
    )


def with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the filters; its first parameter takes the `Selection`."""
    filters = inspect.signature(_selection).parameters
    _, *own = inspect.signature(command).parameters.values()

    @wraps(command)
    def with_selection(**options: Any) -> None:  # noqa: ANN401 - those of the command
        chosen = {name: options.pop(name) for name in filters}
        command(_selection(**chosen), **options)

    # typer reads the options of a command from these two.
    with_selection.__signature__ = inspect.Signature([*filters.values(), *own])  # type: ignore[attr-defined]
    with_selection.__annotations__ = _selection.__annotations__ | command.__annotations__
    return with_selection


def _header(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Misconfigured(f"--header: '{text}' is not NAME=VALUE", "for example: --header source=crawler")
    return name, value.encode(errors="surrogateescape")
