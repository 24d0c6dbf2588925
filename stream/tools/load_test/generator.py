"""The process that produces a load: `python -m stream.tools.load_test.generator`.

Its order arrives on standard input. It produces a backlog as fast as possible or, in an open loop, each blob
when it is due, whatever happens to earlier blobs. It reports how late blobs were produced, because a late
generator distorts the latency.
"""

import time
from array import array
from collections.abc import Sequence

import orjson

from stream.config import Settings, load_settings
from stream.dictionary import load_index
from stream.kafka.clients import make_producer, producer_options
from stream.tools.load_test.child import Parent, run_child
from stream.tools.load_test.latency import summarize
from stream.tools.load_test.messages import Begin, GeneratorOrder, Status, Stop
from stream.tools.load_test.schedule import NS, Schedule
from stream.tools.load_test.texts import make_texts

BACKLOG_LINGER_MS = 50
QUEUE_RECORDS_MAX, QUEUE_KIB_MAX = 200_000, 256 * 1024
_REPORT_NS = NS // 5
_SLEEP_S_MAX = 0.01
_FLUSH_S_MAX = 120.0


class Generator:
    """Produces blobs; text, id and partition of a blob follow from its number."""

    def __init__(self, settings: Settings, order: GeneratorOrder) -> None:
        self._order = order
        self._is_json = settings.input_format == "json"
        self._topic = settings.input_topic
        self._failed = ""
        self._ack_ns = array("q")
        backlog = {} if order.rate else {"linger.ms": BACKLOG_LINGER_MS, "delivery.report.only.error": True}
        self._producer = make_producer(
            {
                **producer_options(settings),
                **backlog,
                "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
                "queue.buffering.max.kbytes": QUEUE_KIB_MAX,
                "on_delivery": self._delivered,
            }
        )
        index = load_index(settings.dictionary)
        words = [word for same in index.anagrams.values() for word in same]
        self._texts: Sequence[bytes] = [text.encode() for text in make_texts(words, order.recipe)]
        self.sent = 0

    def run(self, parent: Parent) -> Status:
        """Produce all blobs, or until the parent sends a `Stop`."""
        parent.report(Status())
        begin_ns = parent.receive(Begin).begin_ns
        late_ns = array("q")
        if self._order.rate:
            self._open_loop(parent, Schedule(begin_ns, self._order.rate, self._order.blobs), late_ns)
        else:
            self._backlog(parent)
        seconds = (time.monotonic_ns() - begin_ns) / NS
        parent.report(Status(count=self.sent))
        left = self._producer.flush(_FLUSH_S_MAX)
        if left and not self._failed:
            self._failed = f"the broker did not acknowledge {left} blobs within {_FLUSH_S_MAX:.0f} s"
        late, acks = summarize(late_ns), summarize(self._ack_ns)
        return Status(
            done=True,
            count=self.sent,
            late_p99_ms=late.p99_ms if late else 0.0,
            late_max_ms=late.max_ms if late else 0.0,
            ack_p99_ms=acks.p99_ms if acks else 0.0,
            seconds=seconds,
            failed=self._failed,
        )

    def _backlog(self, parent: Parent) -> None:
        reported_ns = 0
        while self.sent < self._order.blobs and not self._failed:
            self._send()
            if self.sent % 64 == 0:
                self._producer.poll(0)
                reported_ns = self._report(parent, reported_ns)

    def _open_loop(self, parent: Parent, schedule: Schedule, late_ns: "array[int]") -> None:
        reported_ns = 0
        while self.sent < schedule.blobs and not self._failed and parent.receive_nowait(Stop) is None:
            due = schedule.due_by(time.monotonic_ns())
            while self.sent < due and not self._failed:
                number = self.sent
                self._send()
                late_ns.append(time.monotonic_ns() - schedule.due_ns(number))
            self._producer.poll(0)
            reported_ns = self._report(parent, reported_ns)
            ahead_ns = schedule.due_ns(self.sent) - time.monotonic_ns()
            if ahead_ns > 0:
                time.sleep(min(_SLEEP_S_MAX, ahead_ns / NS))

    def _send(self) -> None:
        number = self._order.first + self.sent
        key = f"{self._order.prefix}{number}"
        partition = number // self._order.run % self._order.partitions
        value = self._texts[number % len(self._texts)]
        if self._is_json:
            value = orjson.dumps({"id": key, "text": value.decode()})
        while not self._failed:
            try:
                self._producer.produce(self._topic, value, key, partition)
            except BufferError:  # the broker is slower; then an open loop is late, and reports it
                self._producer.poll(0.01)
            else:
                self.sent += 1
                return

    def _report(self, parent: Parent, reported_ns: int) -> int:
        now_ns = time.monotonic_ns()
        if now_ns - reported_ns < _REPORT_NS:
            return reported_ns
        parent.report(Status(count=self.sent))
        return now_ns

    def _delivered(self, error: object, message: object) -> None:
        if error is not None:
            self._failed = f"a blob could not be delivered: {error}"
        else:
            self._ack_ns.append(int(message.latency() * NS))  # type: ignore[attr-defined]


def main() -> None:
    run_child(GeneratorOrder, lambda order, parent: Generator(load_settings(), order).run(parent))


if __name__ == "__main__":
    main()
