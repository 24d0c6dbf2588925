import time

import pytest
from support.sinks import make_sink
from support.topics import read, settings_of

from stream.core.columns import Outputs
from stream.core.dead_letter import to_dead_letter
from stream.core.records import InputRecord, OutputRecord
from stream.errors import Fenced, InDoubt, Reason, Rejected
from stream.kafka import clients
from stream.kafka.sink import KafkaSink

pytestmark = pytest.mark.broker


def sink_of(env: dict[str, str], instance: str = "one") -> KafkaSink:
    settings = settings_of(env)
    options = clients.transactional_options(settings, instance, 1_000_000)
    sink = make_sink(settings, options, settings.transaction_timeout_ms / 1000)
    sink.reset_producer()
    return sink


def result(env: dict[str, str], key: bytes) -> OutputRecord:
    return OutputRecord(env["STREAM_RESULT_TOPIC"], 0, key, b"{}")


def test_aborted_records_are_invisible_and_committed_ones_are_seen(stream_env: dict[str, str]) -> None:
    sink = sink_of(stream_env)
    sink.begin()
    sink.produce(Outputs.of([result(stream_env, b"aborted")]))
    sink.produce_changelog(0, {b"act": b"1"}, [])
    sink.flush()  # otherwise they are purged before they are sent
    sink.abort()
    sink.begin()
    sink.produce(Outputs.of([result(stream_env, b"committed")]))
    sink.produce_changelog(0, {b"act": b"1"}, [("h", b"1")])
    appended = sink.flush()
    sink.commit()
    sink.close()
    assert [record.key for record in read(stream_env, "result")] == [b"committed"]
    (counted,) = read(stream_env, "count")
    assert appended[0]["count"][:3] == (0, 1, counted.offset + 1)
    assert counted.offset > 0  # the aborted record and its marker took offsets


def test_an_open_transaction_is_invisible(stream_env: dict[str, str]) -> None:
    sink = sink_of(stream_env)
    sink.begin()
    sink.produce(Outputs.of([result(stream_env, b"open")]))
    time.sleep(0.5)
    assert read(stream_env, "result") == []
    sink.commit()
    assert len(read(stream_env, "result")) == 1
    sink.close()


def test_a_zombie_is_fenced_and_its_open_transaction_is_aborted(stream_env: dict[str, str]) -> None:
    zombie = sink_of(stream_env)
    zombie.begin()
    zombie.produce(Outputs.of([result(stream_env, b"zombie")]))
    successor = sink_of(stream_env)
    with pytest.raises(Fenced):
        zombie.commit()
    successor.begin()
    successor.produce(Outputs.of([result(stream_env, b"successor")]))
    successor.commit()
    assert [record.key for record in read(stream_env, "result")] == [b"successor"]
    successor.close()
    zombie.close()


def test_a_transaction_that_outlived_its_timeout_is_in_doubt_and_a_new_producer_continues(
    stream_env: dict[str, str],
) -> None:
    env = {**stream_env, "STREAM_TRANSACTION_TIMEOUT_MS": "2000"}
    sink = sink_of(env)
    sink.begin()
    sink.produce(Outputs.of([result(env, b"late")]))
    sink.flush()  # so that the broker knows of the transaction
    time.sleep(5)
    with pytest.raises(InDoubt):
        sink.commit()
    sink.reset_producer()
    sink.begin()
    sink.produce(Outputs.of([result(env, b"new")]))
    sink.commit()
    sink.close()
    assert [record.key for record in read(env, "result")] == [b"new"]


def test_dead_letters_of_a_partition_are_found_among_those_of_others(stream_env: dict[str, str]) -> None:
    def dead_letter(partition: int, group: str) -> OutputRecord:
        source = InputRecord(stream_env["STREAM_INPUT_TOPIC"], partition, 0, None, b"x", (), None)
        why = Rejected(Reason.BAD_JSON, "decode", "no JSON")
        topic = stream_env["STREAM_DEAD_LETTER_TOPIC"]
        return to_dead_letter(source, why, topic=topic, group=group, failed_at="now", bytes_max=10**6)

    group = stream_env["STREAM_GROUP_ID"]
    sink = sink_of(stream_env)
    assert not sink.has_outcomes(0)
    sink.begin()
    sink.produce(Outputs.of((), [*[dead_letter(2, group)] * 600, dead_letter(0, "another")]))
    sink.commit()
    assert not sink.has_outcomes(0)
    sink.begin()
    sink.produce(Outputs.of((), [dead_letter(0, group)]))
    sink.flush()
    sink.abort()
    assert not sink.has_outcomes(0)
    sink.begin()
    sink.produce(Outputs.of((), [dead_letter(0, group)]))
    sink.commit()
    assert sink.has_outcomes(0)
    assert not sink.has_outcomes(1)
    sink.close()
