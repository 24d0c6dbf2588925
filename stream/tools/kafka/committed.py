"""Reads the committed records of a topic, with one clear error if the broker is unavailable."""

from collections.abc import Callable, Iterator

from stream.config import Settings
from stream.errors import Retriable
from stream.kafka.clients import Admin, make_admin, reader_options
from stream.kafka.offsets import offset_ranges, partitions_of
from stream.tools.kafka.topic_reader import StoredRecord, read_topic
from stream.worker.startup import retry_while_unreachable, unreachable


def reachable_admin(settings: Settings, topic: str) -> Admin:
    """Return an admin client once the cluster has responded, because readers wait for it without limit.

    Raises:
        Refused: the broker is unavailable.
        Fatal: the topic is missing.
    """
    admin = make_admin(settings)
    retry_while_unreachable(settings, lambda: partitions_of(admin, topic))
    return admin


def read_committed(
    settings: Settings,
    topic: str,
    *,
    start: dict[int, int] | None = None,
    follow: Callable[[], bool] | None = None,
) -> Iterator[StoredRecord]:
    """Yield the committed records of a topic; `start` and `follow` as for `read_topic`.

    Raises:
        Refused: the broker is unavailable.
        Fatal: the topic is missing.
    """
    admin = reachable_admin(settings, topic)
    try:
        yield from read_topic(reader_options(settings), admin, topic, start=start, follow=follow)
    except Retriable as why:
        raise unreachable(settings, why) from why


def committed_ranges(settings: Settings, topic: str) -> dict[int, tuple[int, int]]:
    """Return, by partition, the first offset and the last stable offset.

    Raises:
        Refused: the broker is unavailable.
        Fatal: the topic is missing.
    """
    admin = reachable_admin(settings, topic)
    return retry_while_unreachable(
        settings, lambda: offset_ranges(admin, topic, partitions_of(admin, topic), stable=True)
    )
