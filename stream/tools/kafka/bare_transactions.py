"""Transactions of one record without a consumer, to measure Kafka and its client alone."""

from contextlib import suppress

from confluent_kafka import KafkaException, Producer

from stream.config import Settings
from stream.errors import Retriable
from stream.kafka.clients import make_producer, transactional_options

CALL_S_MAX = 5.0
BATCH_BYTES_MAX = 100_000


class BareTransactions:
    """Commits records one by one, with the client options of a worker.

    After a failure it aborts; if that fails too, the next transaction uses a new producer with the same id.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        options = transactional_options(settings, "", BATCH_BYTES_MAX)
        self._options = {**options, "client.id": transactional_id, "transactional.id": transactional_id}
        self._producer: Producer | None = None

    def commit(self, topic: str, partition: int, value: bytes) -> None:
        """Commit a record.

        Raises:
            Retriable: it was not committed, as far as the client knows.
        """
        try:
            if self._producer is None:
                self._producer = make_producer(self._options)
                self._producer.init_transactions(CALL_S_MAX)
            self._producer.begin_transaction()
            self._producer.produce(topic, value, partition=partition)
            self._producer.commit_transaction(CALL_S_MAX)
        except KafkaException as error:
            self._recover()
            raise Retriable(str(error)) from error

    def _recover(self) -> None:
        producer, self._producer = self._producer, None
        with suppress(KafkaException):
            if producer is not None:
                producer.abort_transaction(CALL_S_MAX)
                self._producer = producer
