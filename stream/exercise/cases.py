"""The test cases of `resources/test_cases.json`: texts with their expected counts and runtimes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from stream.errors import Misconfigured

GROUPS = ("small", "medium", "large", "edge")
ALL = ("small", "medium", "large")
SHOWN_MAX = 3  # maximum number of words with a wrong count to name


@dataclass(frozen=True, slots=True)
class Case:
    """A text with its expected counts and runtime.

    Attributes:
        group: small, medium, large or edge.
        expected_counts: word of the default dictionary -> its count.
    """

    group: str
    name: str
    text: str
    expected_counts: Mapping[str, int]
    expected_runtime_ms: float

    def differences(self, counts: object) -> str:
        """Describe how counts differ from the expected ones; empty if they are equal."""
        if not isinstance(counts, Mapping):
            return f"the counts are not a mapping, but of type {type(counts).__name__}"
        expected = self.expected_counts
        words = [*expected, *(word for word in counts if word not in expected)]
        wrong = [
            f"{word}: {counts.get(word, 0)} instead of {expected.get(word, 0)}"
            for word in words
            if counts.get(word, 0) != expected.get(word, 0)
        ]
        more = f" and {len(wrong) - SHOWN_MAX:,} more" if len(wrong) > SHOWN_MAX else ""
        return "; ".join(wrong[:SHOWN_MAX]) + more


class _FileCase(BaseModel):
    """A case in the file; its text is `text`, repeated `repeat` times."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    text: str
    repeat: Annotated[int, Field(ge=1)] = 1
    expected_runtime_ms: Annotated[float, Field(gt=0)]
    expected_counts: dict[str, Annotated[int, Field(ge=1)]]


_FILE = TypeAdapter(dict[str, list[_FileCase]])


def load_cases(names: str = "small") -> list[Case]:
    """Return the cases of the named groups, in this order: `small`, `small,edge`, `all` (without edge).

    Raises:
        Misconfigured: a group does not exist.
    """
    chosen: dict[str, None] = {}
    for name in (part.strip() for part in names.split(",")):
        if name != "all" and name not in GROUPS:
            raise Misconfigured(
                f"the group of test cases {name!r} does not exist",
                f"choose one or more of: {', '.join((*GROUPS, 'all'))}",
            )
        chosen.update(dict.fromkeys(ALL if name == "all" else (name,)))
    groups = _FILE.validate_json(_file().read_bytes())
    return [
        Case(group, one.name, one.text * one.repeat, one.expected_counts, one.expected_runtime_ms)
        for group in chosen
        for one in groups[group]
    ]


def _file() -> Path:
    """Return the path of the cases: in the checkout, or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    paths = (folder / "resources" / "test_cases.json" for folder in (package.parent, package))
    return next(path for path in paths if path.is_file())
