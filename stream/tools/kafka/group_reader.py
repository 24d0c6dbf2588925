"""Reads the lag of the group repeatedly."""

from stream.config import Settings
from stream.errors import Retriable
from stream.kafka.clients import make_admin, reader_options
from stream.tools.kafka.committed import reachable_admin
from stream.tools.kafka.group import Group, PartitionLag, group_lag


class GroupReader:
    """Reads the lag; after a failure, with a new client.

    librdkafka crashes the process if a request about a group has failed and its coordinator returns
    (`rd_kafka_enq_once_del_source_return`).
    """

    def __init__(self, settings: Settings) -> None:
        """Raises Refused if the broker is unavailable, and Fatal if the input topic is missing."""
        self._settings = settings
        self._admin = reachable_admin(settings, settings.input_topic)

    def read(self) -> tuple[Group, list[PartitionLag]]:
        """Return the group, and its lag on each partition.

        Raises:
            Retriable: the broker is unavailable.
            Fatal: the topic is missing, or Kafka denied access.
        """
        settings = self._settings
        try:
            return group_lag(self._admin, reader_options(settings), settings.group_id, settings.input_topic)
        except Retriable:
            self._admin = make_admin(settings)
            raise
