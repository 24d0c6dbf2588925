"""The pytest plugin of anagram-stream. It is not named `stream`, as a package of the project may be.

It imports nothing of anagram-stream until a test uses the fixture, so it changes nothing for other tests.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stream.testing.plugin import FakeStream


@pytest.fixture
def anagram_stream() -> "FakeStream":
    """A fake stream of two partitions with a small dictionary; make another with `FakeStream(…)`."""
    import stream  # noqa: PLC0415 - only where a test needs it

    try:
        from stream.testing.plugin import FakeStream  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("stream."):
            raise
        origin = stream.__file__ or next(iter(stream.__path__), "an unknown place")
        pytest.fail(
            f"the fixture anagram_stream needs the package `stream` of anagram-stream, but Python imports "
            f"another one, from {origin}. Rename that package, or run the tests that use the fixture where "
            "it is not on the path (`pytest` instead of `python -m pytest`, no `pythonpath` with it)",
            pytrace=False,
        )
    return FakeStream()
