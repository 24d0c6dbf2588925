"""Committed records for people: `read_topic`, and one clear error where the broker is away."""

from collections.abc import Callable, Iterator

from stream.cli.app import err, reachable_admin
from stream.config import Settings
from stream.errors import Retriable
from stream.kafka.clients import reader_options
from stream.kafka.offsets import offset_ranges
from stream.kafka.reader import StoredRecord, partitions_of, read_topic
from stream.worker.startup import retry_while_unreachable, unreachable


def committed(
    chosen: Settings,
    topic: str,
    *,
    start: dict[int, int] | None = None,
    follow: Callable[[], bool] | None = None,
) -> Iterator[StoredRecord]:
    """Yield what `read_topic` does.

    Raises:
        Refused: the broker is away.
        Fatal: the topic is missing.
    """
    admin = reachable_admin(chosen, topic)
    try:
        yield from read_topic(reader_options(chosen), admin, topic, start=start, follow=follow)
    except Retriable as why:
        raise unreachable(chosen, why) from why


def offsets(chosen: Settings, topic: str) -> dict[int, tuple[int, int]]:
    """Return, by partition, the first offset and the end of what is committed.

    Raises:
        Refused: the broker is away.
        Fatal: the topic is missing.
    """
    admin = reachable_admin(chosen, topic)
    return retry_while_unreachable(
        chosen, lambda: offset_ranges(admin, topic, partitions_of(admin, topic), stable=True)
    )


def say_following() -> None:
    """Tell a person why nothing may happen for a while."""
    if err.is_terminal:
        err.print("following; Ctrl-C ends it")
