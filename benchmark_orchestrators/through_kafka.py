"""Send the text through Kafka and the real worker, and wait for the committed result.

What it shows: the cost of exactly-once. A text is sent to a topic, a worker counts it and commits result,
totals and offset in one transaction, and only then can this client read the result. That adds tens of
milliseconds to any text, which matters little for a large one. Its memory and processor time include those of
Kafka's JVM. Broker and worker start once, in the constructor, and stop when the process exits. `--faults`
affects the worker.
"""

import atexit
import shutil
import tempfile
import uuid
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import orjson
from confluent_kafka import TopicPartition

from stream.broker.embedded import EmbeddedBroker
from stream.config import Settings, load_settings
from stream.exercise import stages
from stream.kafka import clients
from stream.tools.child_environment import child_environment
from stream.tools.kafka.topic_creation import create_topics
from stream.tools.worker_process import WorkerProcess

RESULT_S_MAX = 600.0  # the benchmark has its own limit


class TaskOrchestrator:
    """Starts a broker and a worker, and counts through them."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="anagram-stream-through-kafka-"))
        # Exit handlers run in reverse order, so this one runs last.
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        broker = EmbeddedBroker(java=load_settings().java)
        atexit.register(broker.close)
        broker.start()
        settings = load_settings(
            bootstrap_servers=broker.bootstrap_servers, state_dir=self._folder / "state", **self._faults()
        )
        create_topics(clients.make_admin(settings), settings, 1, None, repair=False)
        worker = WorkerProcess(child_environment(settings), self._folder / "worker.log")
        atexit.register(worker.stop)
        worker.start()
        worker.wait_ready()
        self._worker = worker
        self._topic = settings.input_topic
        self._producer = clients.make_producer(clients.producer_options(settings))
        self._consumer = _consumer(settings)
        self.process_text("")  # the first transaction of a producer takes longer, and counts as startup

    def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("the text must be a str")  # noqa: TRY004 - the interface
        started = perf_counter()
        blob_id = uuid.uuid4().hex
        self._producer.produce(self._topic, text.encode(), blob_id)
        self._producer.flush()
        counts = self._result(blob_id)
        return {"runtime": (perf_counter() - started) * 1000, "anagram_counts": counts}

    def _result(self, blob_id: str) -> Any:  # noqa: ANN401 - JSON
        deadline = monotonic() + RESULT_S_MAX
        while monotonic() < deadline:
            message = self._consumer.poll(1.0)
            if message is None:
                self._worker.check()
            elif not message.error() and message.key() == blob_id.encode():
                return orjson.loads(message.value())["anagram_counts"]
        raise RuntimeError(f"no result arrived within {RESULT_S_MAX:.0f} s")

    def _faults(self) -> dict[str, Any]:
        """Return the settings that inject the faults of the stages in use into the worker."""
        faults = stages.current().faults
        if faults is None:
            return {}
        plan = self._folder / "faults.json"
        plan.write_text(faults.plan.model_dump_json(), encoding="utf-8")
        return {"faults": str(plan), "faults_accepted": True}


def _consumer(settings: Settings) -> Any:  # noqa: ANN401 - confluent_kafka has no types for it
    consumer = clients.make_consumer(clients.reader_options(settings))
    consumer.assign([TopicPartition(settings.result_topic, 0, 0)])
    return consumer
