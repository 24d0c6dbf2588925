from pathlib import Path

import pytest
from support.topics import settings_of

from stream.client_properties import FORBIDDEN_KAFKA_CONFIG
from stream.errors import Misconfigured
from stream.kafka import clients
from stream.kafka.group_protocol import needs_classic


def with_config(tmp_path: Path, *lines: str) -> dict[str, str]:
    path = tmp_path / "kafka.properties"
    path.write_text("\n".join(lines))
    return {"STREAM_KAFKA_CONFIG": str(path)}


def test_timeouts_of_the_transactional_producer_nest() -> None:
    options = clients.transactional_options(settings_of({}), "one", 1_000_000)
    assert options["message.timeout.ms"] <= options["transaction.timeout.ms"]
    assert options["socket.timeout.ms"] <= options["transaction.timeout.ms"] - 100


@pytest.mark.parametrize("line", ["session.timeout.ms=90000", "heartbeat.interval.ms=3000"])
def test_options_of_classic_members_choose_classic_and_reach_members_only(tmp_path: Path, line: str) -> None:
    settings = settings_of(with_config(tmp_path, line))
    name, value = line.split("=")
    assert needs_classic(settings)
    assert clients.member_options(settings, "one", "classic")[name] == value
    assert name not in clients.reader_options(settings)


def test_options_that_exactness_depends_on_are_explicit() -> None:
    settings = settings_of({})
    member = clients.member_options(settings, "one", "classic")
    assert member["isolation.level"] == "read_committed"
    assert member["enable.auto.commit"] is False
    assert member["auto.offset.reset"] == "error"
    assert clients.transactional_options(settings, "one", 1)["enable.idempotence"] is True
    explicit = {
        *member,
        *clients.reader_options(settings),
        *clients.transactional_options(settings, "one", 1),
    }
    assert {
        "acks",
        "transactional.id",
        "max.poll.interval.ms",
        "group.protocol",
    } <= explicit & FORBIDDEN_KAFKA_CONFIG


def test_config_file_reaches_every_client(tmp_path: Path) -> None:
    settings = settings_of(with_config(tmp_path, "client.rack=r1"))
    for options in (
        clients.member_options(settings, "one", "consumer"),
        clients.reader_options(settings),
        clients.transactional_options(settings, "one", 1),
        clients.producer_options(settings),
        clients.common_options(settings),
    ):
        assert options["client.rack"] == "r1"


def test_member_is_static_under_the_classic_protocol() -> None:
    settings = settings_of({})
    assert clients.member_options(settings, "one", "classic")["group.instance.id"] == "anagram-counter-one"
    assert "group.instance.id" not in clients.member_options(settings, "one", "consumer")


@pytest.mark.parametrize("line", ["no.such.option=1", "fetch.min.bytes=many"])
def test_option_that_librdkafka_rejects_is_named(tmp_path: Path, line: str) -> None:
    options = clients.reader_options(settings_of(with_config(tmp_path, line)))
    with pytest.raises(Misconfigured, match=line.partition("=")[0].replace(".", r"\.")):
        clients.make_consumer(options)


@pytest.mark.parametrize(("batch_bytes_max", "kib"), [(1, 1024), (4 << 20, 2048), (1 << 50, 4096)])
def test_part_of_a_batch_is_fetched_ahead_and_librdkafka_accepts_the_option(
    batch_bytes_max: int, kib: int
) -> None:
    settings = settings_of({"STREAM_BATCH_BYTES_MAX": str(batch_bytes_max)})
    options = clients.member_options(settings, "one", "consumer")
    assert options["queued.max.messages.kbytes"] == kib
    clients.make_consumer(options).close()
