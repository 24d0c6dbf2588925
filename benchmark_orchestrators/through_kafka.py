"""Send the text through Kafka and the real worker, and wait for the committed result.

What it shows: the price of exactly once. A text goes to a topic, a worker counts it and commits result,
totals and offset in one transaction, and only then is the result seen here. That takes some tens of
milliseconds for any text, which a large one hardly notices; and its memory and processor time are those of
Kafka's Java, too. Broker and worker are started once, in the constructor, and stopped when the process
ends. Under `--faults` the worker meets them.
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
from stream.cli.demo_run import DemoWorker
from stream.config import Settings, load_settings
from stream.exercise import stages
from stream.kafka import clients, topics

RESULT_S_MAX = 600.0  # whoever measures has a limit of his own


class TaskOrchestrator:
    """A broker, a worker, and a client of both."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="anagram-stream-through-kafka-"))
        atexit.register(
            shutil.rmtree, self._folder, ignore_errors=True
        )  # last in, first out: this is the last
        broker = EmbeddedBroker(java=load_settings().java)
        atexit.register(broker.close)
        broker.start()
        settings = load_settings(
            bootstrap_servers=broker.bootstrap_servers, state_dir=self._folder / "state", **self._faults()
        )
        topics.create(clients.make_admin(settings), settings, 1, None, repair=False)
        worker = DemoWorker(settings, self._folder)
        atexit.register(worker.stop)
        worker.start()
        worker.wait_ready()
        self._worker = worker
        self._topic = settings.input_topic
        self._producer = clients.make_producer(clients.producer_options(settings))
        self._consumer = _consumer(settings)
        self.process_text("")  # a producer's first transaction takes longer; it belongs to the start

    def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("a text is a str")  # noqa: TRY004 - the interface
        began = perf_counter()
        blob_id = uuid.uuid4().hex
        self._producer.produce(self._topic, text.encode(), blob_id)
        self._producer.flush()
        counts = self._result(blob_id)
        return {"runtime": (perf_counter() - began) * 1000, "anagram_counts": counts}

    def _result(self, blob_id: str) -> Any:  # noqa: ANN401 - JSON
        deadline = monotonic() + RESULT_S_MAX
        while monotonic() < deadline:
            message = self._consumer.poll(1.0)
            if message is None:
                self._worker.check()
            elif not message.error() and message.key() == blob_id.encode():
                return orjson.loads(message.value())["anagram_counts"]
        raise RuntimeError("no result came")

    def _faults(self) -> dict[str, Any]:
        """Return the settings that let the worker meet what the stages here would."""
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
