"""The topics, group and state folder of one measurement; those created for it are deleted afterwards."""

import contextlib
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stream.config import Settings
from stream.errors import Retriable
from stream.kafka import topics
from stream.kafka.clients import FRAMING_BYTES_MAX, Admin, make_admin, reader_options
from stream.kafka.offsets import committed_offsets, offset_ranges, stable_ends
from stream.tools.kafka.topic_creation import create_topics, delete_topics
from stream.worker.startup import retry_while_unreachable

COMMITTED_S = 5.0
PREFIX = "bench-"


@dataclass(frozen=True, slots=True)
class LoadTestEnvironment:
    """The environment of a measurement.

    Attributes:
        partitions: partitions of the input topic and the result topic.
        folder: folder of logs and stores.
        own: whether it was created for this measurement; otherwise topics and group are in use and stay.
        prefix: prefix of the blob ids.
    """

    settings: Settings
    partitions: int
    folder: Path
    admin: Admin
    own: bool
    prefix: str

    def result_ends(self) -> dict[int, int]:
        """Return partition -> last stable offset of the result topic."""
        topic, partitions = self.settings.result_topic, range(self.partitions)
        return retry_while_unreachable(self.settings, lambda: stable_ends(self.admin, topic, partitions))

    def log_ends(self, topic: str) -> dict[int, int]:
        """Return partition -> end offset of a topic, including uncommitted records."""
        partitions = range(self.partitions)
        ranges = retry_while_unreachable(self.settings, lambda: offset_ranges(self.admin, topic, partitions))
        return {partition: end for partition, (_, end) in ranges.items()}

    def has_committed(self, ends: Mapping[int, int]) -> bool:
        """Whether the group has committed the input up to these offsets."""
        options, topic = reader_options(self.settings), self.settings.input_topic
        try:
            committed = committed_offsets(options, topic, list(ends), COMMITTED_S)
        except Retriable:
            return False
        return all((committed[partition] or 0) >= end for partition, end in ends.items())


@contextlib.contextmanager
def own_environment(
    settings: Settings, folder: Path, partitions: int, text_bytes_max: int, result_bytes_max: int
) -> Iterator[LoadTestEnvironment]:
    """Create topics and a folder, and delete them afterwards; raise size limits if the texts need it."""
    own = uuid.uuid4().hex[:8]
    chosen = settings.model_copy(
        update={
            **{
                name: f"{PREFIX}{own}-{name.removesuffix('_topic').replace('_', '-')}"
                for name in ("input_topic", "result_topic", "count_topic", "dead_letter_topic", "group_id")
            },
            "state_dir": folder / own,
            "text_bytes_max": max(settings.text_bytes_max, text_bytes_max),
            "result_bytes_max": max(settings.result_bytes_max, result_bytes_max + FRAMING_BYTES_MAX),
        }
    )
    admin = make_admin(chosen)
    chosen.state_dir.mkdir(parents=True)
    retry_while_unreachable(
        chosen, lambda: topics.describe(admin, chosen)
    )  # if the broker stays unavailable, there is nothing to delete
    try:
        retry_while_unreachable(chosen, lambda: create_topics(admin, chosen, partitions, None, repair=False))
        yield LoadTestEnvironment(chosen, partitions, chosen.state_dir, admin, own=True, prefix="b")
    finally:
        retry_while_unreachable(chosen, lambda: delete_topics(admin, chosen))
        shutil.rmtree(chosen.state_dir, ignore_errors=True)


@contextlib.contextmanager
def attached_environment(settings: Settings, folder: Path) -> Iterator[LoadTestEnvironment]:
    """Use the topics and the group of the settings, which stay.

    Raises:
        Refused: a topic is missing.
    """
    admin = make_admin(settings)
    layout = retry_while_unreachable(settings, lambda: topics.check(admin, settings))
    prefix = f"{PREFIX}{uuid.uuid4().hex[:8]}-"
    yield LoadTestEnvironment(settings, layout.input.partitions, folder, admin, own=False, prefix=prefix)
