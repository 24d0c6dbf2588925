"""A transactional producer on a real Kafka, as `worker/wiring.py` creates it."""

from stream.config import Settings
from stream.kafka import clients, topics
from stream.kafka.clients import Options
from stream.kafka.event_time import EventTime
from stream.kafka.offsets import Offsets
from stream.kafka.output_logs import OutputLogs
from stream.kafka.sink import KafkaSink
from stream.kafka.topic_watch import TopicWatch


def make_sink(
    settings: Settings, options: Options, timeout_s: float, event_time: EventTime | None = None
) -> KafkaSink:
    names = topics.names(settings)
    described = topics.describe(clients.make_admin(settings), settings)
    ids = {role: topic.id for role, topic in described.items()}
    watch = TopicWatch(lambda: clients.make_admin(settings), names, ids)
    offsets = Offsets(lambda: clients.make_admin(settings))
    logs = OutputLogs(clients.reader_options(settings), offsets, names)
    return KafkaSink(options, names, timeout_s, watch, logs, event_time)
