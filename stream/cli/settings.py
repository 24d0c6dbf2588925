"""`settings`: all settings with their defaults, their current values, and their documentation."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stream.cli.app import out
from stream.cli.app import settings as chosen_settings
from stream.cli.listing import Column, Rows, quiet_pipe
from stream.config import PREFIX, settings_table
from stream.errors import Misconfigured, Refused

_BEGIN = "<!-- settings -->"
_END = "<!-- /settings -->"
_COLUMNS = (Column("variable"), Column("value", least=20, flexible=True), Column("from", least=7))


def settings(
    file: Annotated[
        Path, typer.Argument(help=f"Markdown file with {_BEGIN} and {_END}, for --write and --check.")
    ] = Path("docs/reference/settings.md"),
    current: Annotated[
        bool,
        typer.Option("--current", help="Show the current values. Secrets are not shown."),
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the table into the file.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check that the table in the file is up to date; exit status 1 if not."),
    ] = False,
) -> None:
    """Print all settings as a Markdown table. Settings are read from the environment and from `.env`."""
    if current + write + check > 1:
        raise Misconfigured("--current, --write and --check cannot be combined")
    if write or check:
        _compare(file, write=write)
        return
    with quiet_pipe():
        if current:
            _show_current()
        else:
            sys.stdout.write(settings_table() + "\n")


def _show_current() -> None:
    chosen = chosen_settings()
    rows = Rows(_COLUMNS)
    for name in type(chosen).model_fields:  # never the content of KAFKA_CONFIG, which may contain secrets
        value = getattr(chosen, name)
        shown = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        rows.add(PREFIX + name.upper(), shown, "set" if name in chosen.model_fields_set else "default")
    rows.flush()


def _compare(file: Path, *, write: bool) -> None:
    try:
        text = file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read {file}: {error}") from error
    before, begin, rest = text.partition(_BEGIN)
    between, end, after = rest.partition(_END)
    if not begin or not end:
        raise Misconfigured(f"{file} has no markers for the settings", f"add the lines {_BEGIN} and {_END}")
    expected = f"\n{settings_table()}\n"
    if between == expected:
        out.print(f"the settings in {file} are up to date")
    elif write:
        file.write_text(before + begin + expected + end + after, "utf-8", newline="")
        out.print(f"wrote the settings to {file}")
    else:
        raise Refused(f"the settings in {file} are not up to date", f"anagram-stream settings --write {file}")
