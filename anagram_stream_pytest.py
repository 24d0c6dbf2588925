"""The pytest plugin of anagram-stream. It is not named `stream`, because a package of the project may be.

It imports nothing of anagram-stream until a test uses a fixture, so it changes nothing for other tests.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stream.broker.cluster import EmbeddedCluster
    from stream.testing.plugin import FakeStream


@pytest.fixture
def anagram_stream() -> "FakeStream":
    """A fake stream of two partitions with a small dictionary; create another with `FakeStream(…)`."""
    fake: FakeStream = _imported("anagram_stream", "stream.testing.plugin").FakeStream()
    return fake


@pytest.fixture(scope="session")
def anagram_cluster() -> "Iterator[EmbeddedCluster]":
    """A Kafka cluster of three nodes for the whole run, with replication 3 and `min.insync.replicas=2`.

    Its data is deleted at the end. Start another with `EmbeddedCluster(…)` of `stream.broker.cluster`.

    def test_my_service_survives_a_broker(anagram_cluster):
        servers = anagram_cluster.bootstrap_servers  # for the clients of the test
        anagram_cluster.brokers[0].kill()  # or stop(), for a clean shutdown
        ...
        anagram_cluster.start()  # starts the stopped nodes
    """
    with _imported("anagram_cluster", "stream.broker.cluster").EmbeddedCluster() as cluster:
        yield cluster


def _imported(fixture: str, module: str) -> Any:  # noqa: ANN401 - a module
    import stream  # noqa: PLC0415 - only where a test needs it

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("stream."):
            raise
        origin = stream.__file__ or next(iter(stream.__path__), "an unknown place")
        pytest.fail(
            f"the fixture {fixture} needs the package `stream` of anagram-stream, but Python imports "
            f"another one, from {origin}. Rename that package, or run the tests that use the fixture where "
            "it is not on the path (`pytest` instead of `python -m pytest`, no `pythonpath` that has it)",
            pytrace=False,
        )
