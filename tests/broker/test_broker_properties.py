import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.broker.properties import ClusterNode, Listener, broker_properties, render
from stream.errors import Misconfigured

LISTENERS = (Listener("PLAINTEXT", "PLAINTEXT", 20_001), Listener("SECURE", "SASL_SSL", 20_002))
LOG_DIR = Path("/data/kafka")


def of(**overrides: str) -> dict[str, str]:
    named = {name.replace("_", "."): value for name, value in overrides.items()}
    return broker_properties(LISTENERS, 20_003, LOG_DIR, named)


def test_every_listener_is_on_the_loopback_interface() -> None:
    hosts = re.findall(r"://([^:,]*):", of()["listeners"])
    assert hosts == ["127.0.0.1"] * 3


def test_only_client_listeners_are_advertised() -> None:
    assert of()["advertised.listeners"] == "PLAINTEXT://localhost:20001,SECURE://localhost:20002"
    assert (
        of()["listener.security.protocol.map"] == "PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT"
    )


def test_topics_are_not_created_automatically() -> None:
    assert of()["auto.create.topics.enable"] == "false"


def test_lower_bounds_are_lowered_and_defaults_remain_those_of_kafka() -> None:
    assert of()["group.consumer.min.session.timeout.ms"] == "1000"
    assert not {"group.consumer.session.timeout.ms", "message.max.bytes"} & set(of())


def test_an_override_beats_the_default() -> None:
    assert of(auto_create_topics_enable="true")["auto.create.topics.enable"] == "true"


def test_the_quorum_consists_of_the_given_node() -> None:
    assert of(node_id="7")["controller.quorum.voters"] == "7@localhost:20003"


def test_members_of_a_cluster_have_three_replicas_and_default_group_settings() -> None:
    settings = broker_properties(LISTENERS, 20_003, LOG_DIR, {}, ClusterNode(2, (20_013, 20_003, 20_023)))
    voters = "1@localhost:20013,2@localhost:20003,3@localhost:20023"
    assert (settings["node.id"], settings["controller.quorum.voters"]) == ("2", voters)
    factors = {value for name, value in settings.items() if name.endswith("replication.factor")}
    in_sync = {value for name, value in settings.items() if name.endswith(("min.isr", "insync.replicas"))}
    assert (factors, in_sync) == ({"3"}, {"2"})
    assert {name for name in settings if name.startswith("group.")} == {
        "group.initial.rebalance.delay.ms",  # 0, as in the configuration that comes with Kafka
        "group.min.session.timeout.ms",
        "group.consumer.min.session.timeout.ms",
        "group.consumer.min.heartbeat.interval.ms",
    }
    assert not {"broker.heartbeat.interval.ms", "broker.session.timeout.ms"} & set(settings)


@pytest.mark.parametrize("name", ["log.dirs", "log.dir", "metadata.log.dir", "process.roles"])
def test_a_property_that_the_broker_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(name)):
        broker_properties(LISTENERS, 20_003, LOG_DIR, {name: "x"})


def test_a_folder_with_a_comma_is_refused() -> None:
    with pytest.raises(Misconfigured, match="comma"):
        broker_properties(LISTENERS, 20_003, Path("/a,b"), {})


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_rendered_properties_are_read_back_as_they_were(properties: dict[str, str]) -> None:
    assert read(render(properties)) == properties


def read(text: str) -> dict[str, str]:
    """Read a file with one property per line, like java.util.Properties."""
    assert text.isascii()
    lines = (re.fullmatch(r"((?:[^\\=]|\\.)*)=(.*)", line) for line in text.split("\n")[:-1])
    return {unescaped(line[1]): unescaped(line[2]) for line in lines if line}


def unescaped(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        escaped = match[1]
        if len(escaped) > 1:
            return chr(int(escaped[1:], 16))
        return {"n": "\n", "r": "\r", "t": "\t"}.get(escaped, escaped)

    units = re.sub(r"\\(u[0-9a-f]{4}|.)", plain, text)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be")
