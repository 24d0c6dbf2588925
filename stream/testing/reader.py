"""The port `ChangelogReader` on the fake cluster."""

from collections.abc import Sequence

from stream.core.processed_offset import PROCESSED_KEY, has_processed_offset
from stream.errors import Fatal
from stream.ports import ChangelogChunk
from stream.testing.cluster import FakeCluster
from stream.testing.faults import Faults, faulty
from stream.testing.log import Fetched

RECORDS_MAX = 100


class FakeReader:
    """Committed records of the count topic; at most `records_max` per partition and read."""

    def __init__(
        self,
        cluster: FakeCluster,
        topic: str,
        faults: Faults | None = None,
        *,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self.faults = faults or Faults()
        self._cluster = cluster
        self._topic = topic
        self._records_max = records_max
        self._positions: dict[int, int] = {}

    @faulty("reader.offset_range")
    def offset_range(self, partition: int) -> tuple[int, int]:
        log = self._cluster.log(self._topic, partition)
        return log.first_offset, log.high_watermark

    @faulty("reader.start")
    def start(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset

    @faulty("reader.read")
    def read(self, wait_s: float) -> Sequence[ChangelogChunk]:
        """Return a chunk for each partition with new records; if there are none, the time advances."""
        chunks: list[ChangelogChunk] = []
        for partition, position in self._positions.items():
            log = self._cluster.log(self._topic, partition)
            if position > log.high_watermark:
                raise Fatal(f"{self._topic}, partition {partition}: the log was truncated while it was read")
            fetched = log.read(position, self._records_max)
            if fetched.position > position:
                self._positions[partition] = fetched.position
                chunks.append(_chunk(partition, fetched))
        if not chunks:
            self._cluster.clock.sleep(wait_s)
        return chunks

    @faulty("reader.stop")
    def stop(self, partition: int) -> None:
        self._positions.pop(partition, None)

    @faulty("reader.close")
    def close(self) -> None:
        self._positions.clear()


def _chunk(partition: int, fetched: Fetched) -> ChangelogChunk:
    records = [entry.record for entry in fetched.entries if entry.record is not None]
    changes = {record.key or b"": record.value or b"" for record in records}
    changes.pop(PROCESSED_KEY, None)
    headers = (record.headers for record in reversed(records) if has_processed_offset(record.headers))
    end = fetched.entries[-1].offset + 1 if records else 0
    return ChangelogChunk(partition, changes, len(records), next(headers, ()), fetched.position, end)
