"""`schemas`: the JSON Schemas of all records, AsyncAPI of the topics, OpenAPI of `serve`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stream.cli.app import out, warn
from stream.cli.listing import quiet_pipe
from stream.core.schemas import render
from stream.errors import Misconfigured, Refused
from stream.tools.contracts.documents import OPENAPI, documents


def schemas(
    write: Annotated[bool, typer.Option("--write", help="Write each document to a file.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check that the files are up to date; exit status 1 if not."),
    ] = False,
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the files.")] = Path("schemas"),
) -> None:
    """Print the contracts: JSON Schemas of all records, AsyncAPI of the topics, and OpenAPI of `serve`.

    The output is one JSON object that maps each file name to its document.
    """
    if write and check:
        raise Misconfigured("--write and --check cannot be combined")
    expected = {name: render(document) for name, document in documents().items()}
    if OPENAPI not in expected:
        warn(f"{OPENAPI} is omitted; to include it, run: pip install 'anagram-stream[serve]'")
    if check:
        _check(expected, folder)
    elif write:
        _write(expected, folder)
    else:
        with quiet_pipe():
            sys.stdout.write(render(documents()))


def _write(expected: dict[str, str], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in expected.items():
            path = folder / name
            if _read(path) != text:
                path.write_text(text, "utf-8", newline="\n")
                out.print(f"wrote {path}")
    except OSError as error:
        raise Misconfigured(f"cannot write to {folder}: {error.strerror}") from error


def _check(expected: dict[str, str], folder: Path) -> None:
    extra = sorted(path.name for path in folder.glob("*.json") if path.name not in {*expected, OPENAPI})
    wrong = [name for name, text in expected.items() if _read(folder / name) != text]
    if wrong:
        raise Refused(f"outdated documents in {folder}: {', '.join(wrong)}", "anagram-stream schemas --write")
    if extra:
        raise Refused(f"unexpected documents in {folder}: {', '.join(extra)}", "delete these files")
    out.print(f"{len(expected)} documents in {folder} are up to date")


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
