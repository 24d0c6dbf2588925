"""The parts of the demo: a worker of its own, the blobs, the watching, the verdict."""

import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from stream.broker.process import GuardedProcess
from stream.cli.app import admin_client
from stream.cli.blobs import Blob, Cut, blobs, sources, stdin_has_text
from stream.config import Settings
from stream.errors import Fatal, StreamError
from stream.kafka.clients import make_producer, producer_options, reader_options
from stream.kafka.reader import StoredRecord, read_topic
from stream.telemetry.probe import is_ready
from stream.tools.child_environment import child_environment

RATE = 1_000.0  # blobs a second: the worker keeps up with far more; the latency shown is then not a queue's
SILENT_S_MAX = 90.0  # without anything new the demo gives up; a group's session ends within 45 s


class DemoWorker:
    """`anagram-stream worker` as a child that does not outlive us."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._env = child_environment(settings, STREAM_LOG_FORMAT="json")
        self._folder = folder
        self._process: GuardedProcess | None = None

    def start(self) -> None:
        """Start it."""
        self._process = GuardedProcess(
            [sys.executable, "-m", "stream", "worker"],
            folder=Path.cwd(),
            console=self._console,
            env=self._env,
        )

    def wait_ready(self) -> None:
        """Wait until its probe says that it is ready.

        Raises:
            Fatal: it ended, or is not ready in time.
        """
        deadline = time.monotonic() + SILENT_S_MAX
        while not is_ready(self._console):
            self.check()
            if time.monotonic() > deadline:
                raise Fatal(f"the worker was not ready within {SILENT_S_MAX:.0f} s")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise Fatal if it ended."""
        if self._process is not None and (status := self._process.poll()) is not None:
            lines = self._console.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            raise Fatal(f"the worker ended with status {status}; its last lines:\n" + "\n".join(lines))

    def stop(self) -> None:
        """SIGTERM, and wait until it has drained."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    @property
    def _console(self) -> Path:
        return self._folder / "worker.log"


def sample_folder() -> Path:
    """Return where the sample blobs lie: in the checkout, or in the installed package."""
    package = Path(__file__).resolve().parent.parent
    return next(
        f for f in (package.parent / "resources" / "blobs", package / "resources" / "blobs") if f.is_dir()
    )


def gather_blobs(settings: Settings, files: Sequence[Path]) -> tuple[list[Blob], list[Blob]]:
    """Return the user's own blobs, a line each, and the samples.

    Raises:
        Misconfigured: a file is missing or cannot be read.
    """
    cut = Cut(whole=False, bytes_max=settings.text_bytes_max, keyed=True, prefix="")
    own = list(blobs(sources(files), cut)) if files else []
    if not any(str(file) == "-" for file in files) and stdin_has_text():
        own += list(blobs(sources([Path("-")]), cut))
    for blob in own:
        if blob.problem:
            raise Fatal(f"{blob.where}: {blob.problem}")
    return own, list(blobs(sources([sample_folder()]), cut))


class Feeder(threading.Thread):
    """Sends blobs at a rate and remembers when."""

    def __init__(self, settings: Settings, chosen: Sequence[tuple[str, bytes]]) -> None:
        super().__init__(daemon=True, name="feeder")
        self._producer = make_producer(producer_options(settings))
        self._topic = settings.input_topic
        self._chosen = chosen
        self.sent = 0
        self.sent_at: dict[tuple[int, int], float] = {}  # (partition, offset) -> when it was handed over
        self.failed = ""

    def run(self) -> None:
        """Send all."""
        began = time.monotonic()
        for number, (key, text) in enumerate(self._chosen):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            self._send(key, text)
            self._producer.poll(0)
            self.sent = number + 1
        if self._producer.flush(30):
            self.failed = "the broker did not take all blobs within 30 s"

    def _send(self, key: str, text: bytes) -> None:
        at = time.monotonic()

        def delivered(error: object, message: object) -> None:
            if error is not None:
                self.failed = str(error)
            else:
                self.sent_at[message.partition(), message.offset()] = at  # type: ignore[attr-defined]

        self._producer.produce(self._topic, text, key, on_delivery=delivered)


@dataclass(slots=True)
class Watched:
    """What was seen of the outputs so far."""

    done: int = 0
    last: float = 0.0
    seen_at: dict[tuple[int, int], float] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    _parts: dict[tuple[int, bytes], int] = field(default_factory=dict)

    def total(self, record: StoredRecord) -> None:
        """A running total of one partition changed; the signature's is their sum."""
        at, value = (record.partition, record.key or b""), int(record.value or b"0")
        key = at[1].decode()
        self.totals[key] = self.totals.get(key, 0) + value - self._parts.get(at, 0)
        self._parts[at] = value


class Follower:
    """Follows the three outputs at once, each in a thread of its own."""

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
        """Yield what came, waiting for the first."""
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
        """Stop following."""
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
        except StreamError as error:  # raised again where it is taken
            self._queue.put(error)


def source_of(record: StoredRecord) -> tuple[int, int]:
    """Return the input position that a result or a dead letter speaks of."""
    named = dict(record.headers)
    partition, offset = named.get("__streams.errors.partition"), named.get("__streams.errors.offset")
    if partition is not None and offset is not None:
        return int(partition), int(offset)
    source = orjson.loads(record.value or b"{}")["source"]
    return source["partition"], source["offset"]
