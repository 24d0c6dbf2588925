"""Markdown for the reference pages, and JSON Schemas in words."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

Json = Mapping[str, Any]

WIDTH = 110
_DEFINITIONS = ("#/$defs/", "#/components/schemas/")
_NAME = re.compile(r"(?<![\w'-])(?:STREAM_[A-Z_]*[A-Z]|--[a-z][a-z-]*[a-z])(?![\w=])|<!--.*?-->")
_FORMATS = {"path": "path"}


def paragraph(*sentences: str) -> str:
    text = " ".join(" ".join(sentences).split())
    return fill(text, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def document(title: str, purpose: str, *parts: str) -> str:
    return "\n".join([f"# {title}\n", paragraph(purpose), *parts])


def section(title: str, *parts: str, level: int = 2) -> str:
    return "\n".join([f"{'#' * level} {title}\n", *parts])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), "|" + "---|" * len(head), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def bullets(items: Iterable[str]) -> str:
    folded = (
        fill(each, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for each in (f"- {' '.join(item.split())}" for item in items)
    )
    return "\n".join(folded) + "\n"


def block(language: str, *lines: str) -> str:
    return "\n".join([f"```{language}", *lines, "```\n"])


def code(text: str) -> str:
    """Return a code span. A renderer of GitHub ends a cell at a `|` in it, so there may be none."""
    assert text, "an empty code span shows its marks"
    assert "|" not in text, f"write alternatives apart: {text}"
    return f"`{text}`"


def alternatives(names: Iterable[object], ends_with: str = "or") -> str:
    """Return `a`, `b` or `c`."""
    return join([code(str(name)) for name in names], ends_with)


def join(parts: Sequence[str], ends_with: str = "or") -> str:
    *first, last = parts
    return f"{', '.join(first)} {ends_with} {last}" if first else last


def marked(text: str) -> str:
    """Return a text with names of settings and options, and comments of Markdown, as code."""
    parts = text.split("`")
    parts[::2] = [_NAME.sub(r"`\g<0>`", part) for part in parts[::2]]
    return "`".join(parts)


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.)\s+", " ".join(text.split()))


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def limits(least: float | None, most: float | None) -> str:
    """Return a range of numbers in words; empty if there is none."""
    if least is None:
        return "" if most is None else f"at most {number(most)}"
    return f"at least {number(least)}" if most is None else f"{number(least)} to {number(most)}"


def of_schema(schema: Json) -> str:
    """Return in words what a JSON Schema allows; a definition that it refers to is a link to its heading."""
    in_words = next((each for keyword, each in _BY_KEYWORD.items() if keyword in schema), None)
    return (in_words or _BY_TYPE.get(schema.get("type", ""), _of_any))(schema)


def fields(schema: Json, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, whether it is required, and meaning of each field, also those of objects in it."""
    for name, of_field in schema.get("properties", {}).items():
        required = "yes" if name in schema.get("required", ()) else "no"
        yield code(prefix + name), of_schema(of_field), required, marked(of_field.get("description", ""))
        yield from fields(of_field, f"{prefix}{name}.")


def definition(reference: str) -> str:
    """Return the name of the definition that a `$ref` points to."""
    for start in _DEFINITIONS:
        reference = reference.removeprefix(start)
    return reference


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()) for cell in cells) + " |"


def _of_text(schema: Json) -> str:
    kind = _FORMATS.get(schema.get("format", ""), "text")
    pattern = schema.get("pattern", "")
    if pattern and "|" not in pattern:
        return f"{kind} that matches {code(pattern)}"
    least, most = schema.get("minLength"), schema.get("maxLength")
    if least == 1 and most is None:
        return f"{kind}, not empty"
    length = limits(least, most)
    return f"{kind} ({length} characters)" if length else kind


def _of_reference(schema: Json) -> str:
    name = definition(schema["$ref"])
    return f"[{name}](#{name.lower()})"


def _of_constant(schema: Json) -> str:
    return code(str(schema["const"]).encode("unicode_escape").decode())


def _of_object(schema: Json) -> str:
    of_values = schema.get("additionalProperties")
    return f"map of text to {of_schema(of_values)}" if isinstance(of_values, Mapping) else "object"


def _of_any(schema: Json) -> str:
    kind = schema.get("type", "any")
    above = schema.get("exclusiveMinimum")
    least = schema.get("minimum")
    range_ = limits(least, schema.get("maximum"))
    if above is not None:
        range_ = " and ".join(filter(None, [f"above {number(above)}", range_]))
    return f"{kind} ({range_})" if range_ else kind


_BY_KEYWORD: Mapping[str, Callable[[Json], str]] = {
    "$ref": _of_reference,
    "anyOf": lambda schema: join([of_schema(each) for each in schema["anyOf"]]),
    "const": _of_constant,
    "enum": lambda schema: alternatives(schema["enum"]),
}
_BY_TYPE: Mapping[str, Callable[[Json], str]] = {
    "string": _of_text,
    "array": lambda schema: f"list of {of_schema(schema['items'])}",
    "object": _of_object,
}
