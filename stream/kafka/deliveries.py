"""Collects from delivery reports where the records of one transaction were appended."""

from collections import Counter

from confluent_kafka import KafkaError, Message

from stream.core.evidence import Appended, checksum
from stream.errors import Abortable
from stream.kafka.burst import Run
from stream.kafka.offsets import LogPartition


class Deliveries:
    """The deliveries of one transaction.

    Only the last record of a run needs a report: an idempotent producer keeps the order within a partition.
    """

    def __init__(self) -> None:
        self._records: Counter[LogPartition] = Counter()
        self._awaited: Counter[LogPartition] = Counter()  # number of reports
        self._last_offset: dict[LogPartition, int] = {}
        self._checksum: dict[LogPartition, int] = {}
        self._owners: dict[int, dict[str, LogPartition]] = {}

    def add(self, owner: int, role: str, run: Run) -> None:
        """Register records that belong to the input partition `owner`."""
        self._records[run.log] += len(run)
        self._owners.setdefault(owner, {})[role] = run.log
        if run.is_reported:
            self._awaited[run.log] += 1
            self._checksum[run.log] = checksum(run.keys[-1], run.values[-1], run.headers[-1])

    def report(self, error: KafkaError | None, message: Message) -> None:
        """Process a delivery report; this is the `on_delivery` callback of `Producer.produce`."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error is None and topic is not None and partition is not None and offset is not None:
            self._last_offset[topic, partition] = offset
            self._awaited[topic, partition] -= 1

    def appended(self) -> dict[int, dict[str, Appended]]:
        """Return what was appended, by input partition and role.

        Raises:
            Abortable: the report of a record is missing.
        """
        missing = [log for log, reports in self._awaited.items() if reports > 0]
        if missing:
            topic, partition = min(missing)
            raise Abortable(f"{topic}, partition {partition}: the broker did not confirm the records")
        return {
            owner: {
                role: Appended(log[1], self._records[log], self._last_offset[log] + 1, self._checksum[log])
                for role, log in logs.items()
            }
            for owner, logs in self._owners.items()
        }
