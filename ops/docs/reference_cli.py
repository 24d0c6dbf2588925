"""The page of the command line, from the command tree of typer."""

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import get_args

import typer
from reference_markdown import (
    alternatives,
    block,
    code,
    document,
    limits,
    marked,
    paragraph,
    section,
    sentences,
    table,
)
from rich.text import Text
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from stream.cli.main import app

PROGRAM = "anagram-stream"
_TYPES = {int: "integer", float: "number", str: "text", Path: "path"}

Parameter = TyperArgument | TyperOption


def page() -> str:
    top = command_tree()
    rows = ([f"[{code(path)}](#{path.replace(' ', '-')})", marked(sentences(command.help or "")[0])]
            for path, command in commands())  # fmt: skip
    return document(
        "Command line",
        f"All commands of `{PROGRAM}`, with their arguments, options and examples.",
        paragraph("`--help` after a command prints the same text. Most commands also read "
                  "[settings](settings.md) from the environment. A command ends with status 0, 1 for an "
                  "error or a difference, or 2 for wrong settings or usage: see "
                  "[Exit status](exit-status.md). Results go to standard output; messages and errors go to "
                  "standard error."),
        table(["command", "purpose"], rows),
        section("Options before a command", _options(top)),
        *_sections(top),
    )  # fmt: skip


def command_tree() -> TyperGroup:
    top = get_command(app)
    assert isinstance(top, TyperGroup)
    return top


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """Yield each command with its path, such as `topics create`, in the order of `--help`."""
    for name, each in command_tree().commands.items():
        if isinstance(each, TyperGroup):
            for of_group, command in each.commands.items():
                assert isinstance(command, TyperCommand)
                yield f"{name} {of_group}", command
        else:
            assert isinstance(each, TyperCommand)
            yield name, each


def parameters(command: TyperCommand | TyperGroup) -> list[Parameter]:
    return [each for each in command.params if isinstance(each, Parameter) and not each.hidden]


def _sections(top: TyperGroup) -> Iterator[str]:
    by_path = dict(commands())
    for name, each in top.commands.items():
        if not isinstance(each, TyperGroup):
            yield _section(name, by_path[name], level=2)
            continue
        yield section(code(name), _help(each))
        for of_group in each.commands:
            path = f"{name} {of_group}"
            yield _section(path, by_path[path], level=3)


def _section(path: str, command: TyperCommand, level: int) -> str:
    context = typer.Context(command, info_name=f"{PROGRAM} {path}")
    usage = " ".join([f"{PROGRAM} {path}", *command.collect_usage_pieces(context)])
    parts = [_help(command), block("text", usage)]
    parts += [part for part in (_arguments(command), _options(command)) if part]
    if examples := _examples(command):
        parts += [paragraph("Examples:"), block("sh", *examples)]
    return section(code(path), *parts, level=level)


def _help(command: TyperCommand | TyperGroup) -> str:
    return "\n".join(paragraph(marked(part)) for part in (command.help or "").split("\n\n"))


def _examples(command: TyperCommand) -> list[str]:
    """Return the lines of the epilog, which `stream.cli.app.examples` made, without its title."""
    return Text.from_markup(command.epilog or "").plain.split("\n\n")[1:]


def _arguments(command: TyperCommand) -> str:
    arguments = [each for each in parameters(command) if isinstance(each, TyperArgument)]
    rows = ([code(each.display_name_raw.upper()), *_cells(each)] for each in arguments)
    return table(["argument", "value", "default", "meaning"], rows) if arguments else ""


def _options(command: TyperCommand | TyperGroup) -> str:
    options = [each for each in parameters(command) if isinstance(each, TyperOption)]
    rows = ([_names(each), *_cells(each)] for each in options)
    return table(["option", "value", "default", "meaning"], rows) if options else ""


def _names(option: TyperOption) -> str:
    """Return the names of an option, the long ones first: `--key`, `--no-key`."""
    return ", ".join(map(code, sorted([*option.opts, *option.secondary_opts], key=_is_short)))


def _is_short(name: str) -> bool:
    return not name.startswith("--")


def _cells(parameter: Parameter) -> Sequence[str]:
    return _value(parameter), _default(parameter), marked(parameter.help or "")


def _value(parameter: Parameter) -> str:
    if isinstance(parameter, TyperOption):
        if parameter.is_flag:
            return ""
        if parameter.metavar:
            return alternatives(parameter.metavar.split("|"))
    of_value = parameter.type_descriptor
    if of_value.choices:
        return alternatives(each.value if isinstance(each, Enum) else each for each in of_value.choices)
    kind = next(iter(get_args(of_value.annotation)), of_value.annotation)  # of a list, its items
    range_ = limits(parameter.min, parameter.max)
    return f"{_TYPES[kind]} ({range_})" if range_ else _TYPES[kind]


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    if default is None or default is False or not parameter.show_default:
        return ""
    if default is True:
        return code(parameter.opts[0])
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    return code(shown) if shown else ""
