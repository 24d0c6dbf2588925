"""The filters that the commands of `dead-letters` share."""

from collections.abc import Sequence
from typing import Annotated

import typer

from stream.cli.times import HELP, parse_time
from stream.errors import Misconfigured, Reason
from stream.tools.dead_letters.selection import Selection

_FILTERS = "Filters"


def _option(help_text: str, *names: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        *names, help=help_text, show_default=False, rich_help_panel=_FILTERS
    )
    return option


Reasons = Annotated[list[Reason] | None, _option("Only with this reason. Repeatable.", "--reason")]
Stages = Annotated[list[str] | None, _option("Only of this stage. Repeatable.", "--stage")]
Fingerprints = Annotated[
    list[str] | None,
    _option("Only with this fingerprint, as `summary` shows it. Repeatable.", "--fingerprint"),
]
Partitions = Annotated[
    list[int] | None, _option("Only of this partition of the dead-letter topic. Repeatable.", "--partition")
]
Since = Annotated[str | None, _option(f"Only rejected at this time or later: {HELP}.", "--since")]
Until = Annotated[str | None, _option("Only rejected before this time.", "--until")]
Headers = Annotated[
    list[str] | None, _option("Only with this header, NAME=VALUE. Repeatable: all must match.", "--header")
]


def make_selection(  # noqa: PLR0913, PLR0917 - one for each option
    reasons: Sequence[Reason] | None,
    stages: Sequence[str] | None,
    fingerprints: Sequence[str] | None,
    partitions: Sequence[int] | None,
    since: str | None,
    until: str | None,
    headers: Sequence[str] | None,
) -> Selection:
    """Return the filters.

    Raises:
        Misconfigured: a filter is wrong.
    """
    return Selection(
        frozenset(reason.value for reason in reasons or ()),
        frozenset(stages or ()),
        frozenset(fingerprints or ()),
        frozenset(partitions or ()),
        None if since is None else parse_time(since, "--since"),
        None if until is None else parse_time(until, "--until"),
        tuple(_header(text) for text in headers or ()),
    )


def _header(text: str) -> tuple[str, bytes]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Misconfigured(f"--header {text}: no NAME=VALUE", "for example: --header source=crawler")
    return name, value.encode(errors="surrogateescape")
