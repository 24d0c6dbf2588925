"""`schemas`: the JSON Schema documents of all records."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stream.cli.app import out
from stream.cli.listing import quiet_pipe
from stream.core.schemas import render
from stream.core.schemas import schemas as documents
from stream.errors import Misconfigured, Refused


def schemas(
    write: Annotated[bool, typer.Option("--write", help="Write a file for each.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare the files with what they should hold; exit 1 if they differ."),
    ] = False,
    folder: Annotated[Path, typer.Option("--dir", help="Where the files are.")] = Path("schemas"),
) -> None:
    """Show the JSON Schemas of all records as one object, file name to schema."""
    if write and check:
        raise Misconfigured("--write and --check exclude each other")
    wanted = {name: render(document) for name, document in documents().items()}
    if check:
        _check(wanted, folder)
    elif write:
        _write(wanted, folder)
    else:
        with quiet_pipe():
            sys.stdout.write(render(documents()))


def _write(wanted: dict[str, str], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in wanted.items():
            path = folder / name
            if _read(path) != text:
                path.write_text(text, "utf-8", newline="\n")
                out.print(f"wrote {path}")
    except OSError as error:
        raise Misconfigured(f"cannot write to {folder}: {error.strerror}") from error


def _check(wanted: dict[str, str], folder: Path) -> None:
    extra = sorted(path.name for path in folder.glob("*.json") if path.name not in wanted)
    wrong = [name for name, text in wanted.items() if _read(folder / name) != text]
    if wrong:
        raise Refused(
            f"not as they should be in {folder}: {', '.join(wrong)}", "anagram-stream schemas --write"
        )
    if extra:
        raise Refused(f"no record has these schemas in {folder}: {', '.join(extra)}", "delete them")
    out.print(f"{len(wanted)} schemas in {folder} are up to date")


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
