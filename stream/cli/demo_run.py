"""The parts of the demo: the blobs, their producer, and the readers of the outputs."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from stream.cli.app import admin_client, warn
from stream.config import Settings
from stream.errors import Misconfigured, StreamError
from stream.kafka.clients import make_producer, producer_options, reader_options
from stream.tools.blobs import Blob, BlobSplitting, find_sources, read_blobs, stdin_has_text
from stream.tools.kafka.topic_reader import StoredRecord, read_topic

RATE = 1_000.0  # blobs/s, far below what a worker takes: the latency shown contains no queueing
SILENT_S_MAX = 90.0  # the demo gives up after this long without an output; a group's session ends within 45 s


def sample_folder() -> Path:
    """Return the folder of the sample blobs, in the checkout or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    return next(
        f for f in (package.parent / "resources" / "blobs", package / "resources" / "blobs") if f.is_dir()
    )


def collect_blobs(settings: Settings, files: Sequence[Path]) -> tuple[list[Blob], list[Blob]]:
    """Return the user's own blobs, one per line of text, and the sample blobs.

    Raises:
        Misconfigured: a file is missing or cannot be read.
    """
    splitting = BlobSplitting(whole=False, bytes_max=settings.text_bytes_max, keyed=True, prefix="")
    own = list(read_blobs(find_sources(files), splitting)) if files else []
    if not any(str(file) == "-" for file in files) and stdin_has_text(warn):
        own += list(read_blobs(find_sources([Path("-")]), splitting))
    for blob in own:
        if blob.problem:
            raise Misconfigured(f"{blob.origin}: {blob.problem}", "correct the file, or give others")
    return own, list(read_blobs(find_sources([sample_folder()]), splitting))


class Feeder(threading.Thread):
    """Produces the blobs at `RATE`.

    Attributes:
        sent: blobs handed to the producer so far.
        sent_at: (partition, offset) -> when the blob was handed to the producer, by the monotonic clock.
        failed: why a blob could not be delivered; empty if none failed.
    """

    def __init__(self, settings: Settings, chosen: Sequence[tuple[str, bytes]]) -> None:
        super().__init__(daemon=True, name="feeder")
        self._producer = make_producer(producer_options(settings))
        self._topic = settings.input_topic
        self._chosen = chosen
        self.sent = 0
        self.sent_at: dict[tuple[int, int], float] = {}
        self.failed = ""

    def run(self) -> None:
        began = time.monotonic()
        for number, (key, text) in enumerate(self._chosen):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            self._send(key, text)
            self._producer.poll(0)
            self.sent = number + 1
        if self._producer.flush(30):
            self.failed = "the broker did not acknowledge all blobs within 30 s"

    def _send(self, key: str, text: bytes) -> None:
        sent_at = time.monotonic()

        def delivered(error: object, message: object) -> None:
            if error is not None:
                self.failed = str(error)
            else:
                self.sent_at[message.partition(), message.offset()] = sent_at  # type: ignore[attr-defined]

        self._producer.produce(self._topic, text, key, on_delivery=delivered)


@dataclass(slots=True)
class OutputsSeen:
    """The outputs of the worker that were read so far.

    Attributes:
        done: blobs with an outcome.
        last: when the last outcome was read, by the monotonic clock.
        seen_at: (partition, offset) of an input record -> when its outcome was read.
        totals: signature -> total over all partitions.
    """

    done: int = 0
    last: float = 0.0
    seen_at: dict[tuple[int, int], float] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    _partition_totals: dict[tuple[int, bytes], int] = field(default_factory=dict)

    def total(self, record: StoredRecord) -> None:
        """Apply a record of the count topic: the new total of a signature on one partition."""
        signature, total = record.key or b"", int(record.value or b"0")
        before = self._partition_totals.get((record.partition, signature), 0)
        self._partition_totals[record.partition, signature] = total
        self.totals[signature.decode()] = self.totals.get(signature.decode(), 0) + total - before


class Follower:
    """Reads the three output topics as they grow, each in its own thread."""

    def __init__(self, settings: Settings) -> None:
        self._queue: queue.Queue[StoredRecord | StreamError] = queue.Queue()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=(settings, topic), daemon=True, name=f"follow {topic}")
            for topic in (settings.result_topic, settings.dead_letter_topic, settings.count_topic)
        ]
        for thread in self._threads:
            thread.start()

    def take(self, wait_s: float) -> Iterator[StoredRecord]:
        """Yield the records read since the last call; wait for the first one at most `wait_s`.

        Raises:
            StreamError: a topic could not be read.
        """
        try:
            item = self._queue.get(timeout=wait_s)
            while True:
                if isinstance(item, StreamError):
                    raise item
                yield item
                item = self._queue.get_nowait()
        except queue.Empty:
            return

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(5)

    def _follow(self, settings: Settings, topic: str) -> None:
        try:
            admin = admin_client(settings)
            for record in read_topic(
                reader_options(settings), admin, topic, follow=lambda: not self._stopped.is_set()
            ):
                self._queue.put(record)
        except StreamError as error:  # `take` raises it
            self._queue.put(error)


def input_position(record: StoredRecord) -> tuple[int, int]:
    """Return partition and offset of the input record of a result or a dead letter."""
    headers = dict(record.headers)
    partition, offset = headers.get("__streams.errors.partition"), headers.get("__streams.errors.offset")
    if partition is not None and offset is not None:
        return int(partition), int(offset)
    source = orjson.loads(record.value or b"{}")["source"]
    return source["partition"], source["offset"]
