"""Messages between a process and its child process: pydantic models, each a line of JSON.

Imports only the models of pydantic: imports add to the start time and memory of a measured child process.
"""

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Message(BaseModel):
    """A message; immutable, and unknown fields are errors."""

    # Without a cache of strings, which would add 256 KiB to the memory of a measured child process.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, cache_strings="none")


M = TypeVar("M", bound=Message)


def encode_line(message: Message) -> bytes:
    return message.model_dump_json().encode() + b"\n"


def decode_line(line: bytes, expected: "type[M] | TypeAdapter[M]") -> M:
    """Return the message on a line: of the expected class, or one of several classes that `kind` tags.

    Raises:
        ValueError: the line is something else; other code may have written to the channel.
    """
    if isinstance(expected, type):
        return expected.model_validate_json(line)
    return expected.validate_json(line)
