"""The encoding of Kafka's protocol (https://kafka.apache.org/protocol), plain and flexible (KIP-482)."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
_HEADER = struct.Struct(">hhih")


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """The fields with which every request begins.

    Attributes:
        end: position after these fields; what follows depends on the version.
    """

    api: int
    version: int
    correlation_id: int
    client: str | None
    end: int


def read_header(frame: bytes) -> RequestHeader:
    """Read the header fields, which have the same form in all versions."""
    api, version, correlation_id, length = _HEADER.unpack_from(frame)
    end = _HEADER.size + max(length, 0)
    client = None if length < 0 else frame[_HEADER.size : end].decode(errors="replace")
    return RequestHeader(api, version, correlation_id, client, end)


class Reader:
    """Reads the fields of a frame in order."""

    def __init__(self, frame: bytes, position: int, *, flexible: bool) -> None:
        self._frame = frame
        self._position = position
        self._flexible = flexible

    @property
    def position(self) -> int:
        """The position of the next field."""
        return self._position

    def integer(self, size: int) -> int:
        """Read a signed integer of `size` bytes."""
        return int.from_bytes(self.raw(size), signed=True)

    def raw(self, size: int) -> bytes:
        """Read `size` bytes."""
        value = self._frame[self._position : self._position + size]
        assert len(value) == size, "the frame is too short"
        self._position += size
        return value

    def string(self) -> bytes | None:
        """Read a string, as UTF-8 bytes, or null."""
        length = self._varint() - 1 if self._flexible else self.integer(2)
        return None if length < 0 else self.raw(length)

    def skip_bytes(self) -> None:
        """Skip a field of bytes, such as a batch of records."""
        length = self._varint() - 1 if self._flexible else self.integer(4)
        self._position += max(length, 0)

    def array(self, item: Callable[[], Item]) -> list[Item]:
        length = self._varint() - 1 if self._flexible else self.integer(4)
        return [item() for _ in range(length)]

    def tags(self) -> None:
        """Skip the tagged fields."""
        if self._flexible:
            for _ in range(self._varint()):
                self._varint()
                self._position += self._varint()

    def _varint(self) -> int:
        value = shift = 0
        while True:  # ends: at the latest at the end of the frame
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
                return value
            shift += 7


class Writer:
    """Writes the fields of a frame in order."""

    def __init__(self, *, flexible: bool) -> None:
        self._parts: list[bytes] = []
        self._flexible = flexible

    def integer(self, value: int, size: int) -> None:
        """Write a signed integer of `size` bytes."""
        self._parts.append(value.to_bytes(size, signed=True))

    def raw(self, value: bytes) -> None:
        self._parts.append(value)

    def string(self, value: bytes | None) -> None:
        length = -1 if value is None else len(value)
        if self._flexible:
            self._varint(length + 1)
        else:
            self.integer(length, 2)
        self._parts.append(value or b"")

    def array(self, items: Sequence[Item], item: Callable[[Item], None]) -> None:
        if self._flexible:
            self._varint(len(items) + 1)
        else:
            self.integer(len(items), 4)
        for each in items:
            item(each)

    def tags(self) -> None:
        """Write an empty list of tagged fields."""
        if self._flexible:
            self._parts.append(b"\0")

    def frame(self) -> bytes:
        return b"".join(self._parts)

    def _varint(self, value: int) -> None:
        while value > 0x7F:  # noqa: PLR2004 - seven bits per byte
            self._parts.append(bytes([value & 0x7F | 0x80]))
            value >>= 7
        self._parts.append(bytes([value]))
