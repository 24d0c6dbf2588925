import os
import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from stream.client_properties import FORBIDDEN_KAFKA_CONFIG, read_properties
from stream.config import (
    PREFIX,
    Settings,
    ignored_variables,
    load_settings,
    settings_table,
)
from stream.errors import Misconfigured

SECRET = "hunter2-Zq7"
NAMES = sorted(Settings.model_fields)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run without settings in the environment, in a folder without `.env`."""
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def dotenv(*lines: str) -> None:
    Path(".env").write_text("\n".join(lines), encoding="utf-8")


def kafka_config(*lines: str) -> Path:
    path = Path("kafka.properties")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def refusal(**overrides: object) -> str:
    with pytest.raises(Misconfigured) as caught:
        load_settings(**overrides)
    return str(caught.value)


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()
    assert settings.bootstrap_servers == "localhost:9092"
    assert settings.state_dir.is_absolute()
    assert settings.client_config == {}


def test_override_precedes_the_environment_which_precedes_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    dotenv("STREAM_GROUP_ID=file", "STREAM_INPUT_TOPIC=file", "STREAM_COUNT_TOPIC=file")
    monkeypatch.setenv("STREAM_GROUP_ID", "environment")
    monkeypatch.setenv("STREAM_INPUT_TOPIC", "environment")
    settings = load_settings(group_id="override")
    assert settings.group_id == "override"
    assert settings.input_topic == "environment"
    assert settings.count_topic == "file"


@pytest.mark.parametrize(
    "name", ["STREAM_INPUT_TOPC", "stream_input_topc", "STREAM_", "STREAM_KAFKA_CONFIG_"]
)
def test_unknown_name_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, SECRET)
    with pytest.raises(Misconfigured, match=f"unknown setting {name}$") as caught:
        load_settings()
    assert "STREAM_INPUT_TOPIC" in caught.value.hint
    assert SECRET not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("line", ["STREAM_INPUT_TOPC=x", "export STREAM_INPUT_TOPC=x", "STREAM_INPUT_TOPC"])
def test_unknown_name_in_the_file_is_refused(line: str) -> None:
    dotenv("# ours", "STREAM_GROUP_ID=file", line)
    assert refusal() == "unknown setting STREAM_INPUT_TOPC"


def test_byte_order_mark_is_not_part_of_the_first_name() -> None:
    """Some editors write one, in `.env` and in the properties file."""
    dotenv("\ufeffSTREAM_GROUP_ID=file")
    assert load_settings().group_id == "file"
    assert read_properties(kafka_config("\ufeffssl.ca.location=ca.pem")) == {"ssl.ca.location": "ca.pem"}


LINKS = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "80",
    "SERVICE_PORT_HTTP_METRICS": "80",
    "PORT": "tcp://10.0.0.1:80",
    "PORT_80_TCP": "tcp://10.0.0.1:80",
    "PORT_80_TCP_PROTO": "tcp",
    "PORT_80_TCP_PORT": "80",
    "PORT_80_TCP_ADDR": "10.0.0.1",
    "PORT_53_UDP": "udp://[fd00::a]:53",
    "PORT_53_UDP_ADDR": "fd00::a",
    "PORT_99_SCTP_PROTO": "sctp",
}


@pytest.mark.parametrize("service", ["STREAM", "STREAM_HTTP", "STREAM_V2_STATE_DIR"])
def test_service_links_of_kubernetes_are_ignored(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    for name, value in LINKS.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load_settings().http_port == 0
    assert ignored_variables() == sorted(f"{service}_{name}" for name in LINKS)


@pytest.mark.parametrize("link", ["tcp://10.0.0.1:8080", "tcp://[fd00::a]:8080", "udp://10.0.0.1:53"])
def test_service_link_with_the_name_of_a_setting_does_not_set_it(
    monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    monkeypatch.setenv("STREAM_HTTP_PORT", link)
    assert load_settings().http_port == 0
    dotenv("STREAM_HTTP_PORT=8081")
    assert load_settings().http_port == 8081


def test_setting_is_read_beside_service_links_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_HTTP_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("STREAM_HTTP_PORT", "8081")
    assert load_settings().http_port == 8081
    monkeypatch.setenv("STREAM_HTTP_PORT", "http://10.0.0.1:80")
    assert "STREAM_HTTP_PORT" in refusal()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STREAM_PORT", "8080"),
        ("STREAM_PORT", "tcp://10.0.0.1"),
        ("STREAM_SERVICE_HOST", "kafka.example.org"),
        ("STREAM_SERVICE_PORT", "http"),
        ("STREAM_HTTP_PORTS", "tcp://10.0.0.1:80"),
        ("STREAM_PORT_80_TCP_PROTO", "http"),
    ],
)
def test_name_without_the_value_of_a_service_link_is_unknown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert refusal() == f"unknown setting {name}"


def test_service_links_in_the_file_are_unknown() -> None:
    dotenv("STREAM_PORT=tcp://10.0.0.1:80")
    assert refusal() == "unknown setting STREAM_PORT"


def test_all_unknown_names_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    dotenv("STREAM_B=1")
    monkeypatch.setenv("STREAM_A", "1")
    assert refusal() == "unknown settings STREAM_A, STREAM_B"


def test_unknown_override_is_refused() -> None:
    assert "input_topc" in refusal(input_topc="x")


def test_names_of_other_programs_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = load_settings()
    dotenv("KAFKA_HEAP_OPTS=x", "STREAMLIT=1", "# STREAM_INPUT_TOPC=x")
    monkeypatch.setenv("UPSTREAM_HOST", "x")
    assert load_settings() == alone


@pytest.mark.parametrize("name", ["STREAM_GROUP_ID", "stream_group_id"])
def test_known_name_is_read_in_any_case(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "mine")
    assert load_settings().group_id == "mine"


def test_unreadable_file_is_misconfigured() -> None:
    Path(".env").write_bytes(b"STREAM_GROUP_ID=\xff\n")
    assert ".env" in refusal()


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_frozen(name: str) -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, name, getattr(settings, name))


BAD = {
    "input_topic": ["a b"],
    "result_topic": ["täg"],
    "count_topic": ["..", "a\n"],
    "dead_letter_topic": ["x" * 250],
    "group_id": ["x" * 201],
    "group_protocol": ["Consumer"],
    "static_membership": ["maybe"],
    "instance_id": ["a/b", "x" * 101, "doctor", "offsets", "replay"],
    "input_format": ["xml"],
    "commit_interval_ms": ["0", "soon"],
    "transaction_timeout_ms": ["1999", "900001"],
    "batch_records_max": ["0"],
    "batch_bytes_max": ["-1"],
    "batch_deadline_ms": ["0"],
    "text_bytes_max": ["0"],
    "result_bytes_max": ["1.5"],
    "retry_attempts_max": ["0"],
    "rejected_in_a_row_max": ["-1"],
    "log_format": ["xml"],
    "http_port": ["65536"],
    "processes": ["0", "-1", "257", "1.5", "all", "²"],
}


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BOOTSTRAP_SERVERS", "INSTANCE_ID", "DICTIONARY"):
        monkeypatch.setenv(PREFIX + name, "")
    settings = load_settings()
    assert settings.bootstrap_servers == "localhost:9092"
    assert settings.instance_id is None
    assert settings.dictionary is None


@pytest.mark.parametrize(("given", "taken"), [("1", 1), ("256", 256), ("auto", "auto"), ("", "auto")])
def test_processes_are_a_number_or_auto(
    given: str, taken: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_PROCESSES", given)
    assert load_settings().processes == taken
    assert load_settings(processes="3").processes == 3


@pytest.mark.parametrize(("name", "bad"), [(name, bad) for name, values in BAD.items() for bad in values])
def test_bad_value_is_refused_with_its_name(name: str, bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), bad)
    assert refusal().startswith(f"{PREFIX}{name.upper()}: ")


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        ({"input_topic": "a", "result_topic": "a"}, "four different topics"),
        ({"count_topic": "text-blobs"}, "four different topics"),
        ({"dead_letter_topic": "signature-counts"}, "four different topics"),
        ({"static_membership": True, "group_protocol": "consumer"}, "GROUP_PROTOCOL=classic"),
        ({"batch_deadline_ms": 228_900}, "must stay below 239000"),
        ({"transaction_timeout_ms": 208_900}, "must stay below 239000"),
        ({"commit_interval_ms": 199_000, "transaction_timeout_ms": 10_000}, "must stay below 239000"),
        ({"commit_interval_ms": 10_000}, "COMMIT_INTERVAL_MS must be below TRANSACTION_TIMEOUT_MS"),
    ],
)
def test_contradicting_values_are_refused(together: dict[str, object], expected: str) -> None:
    assert expected in refusal(**together)


@pytest.mark.parametrize(
    "together",
    [
        {"static_membership": True, "group_protocol": "classic"},
        {"batch_deadline_ms": 228_899},
        {"commit_interval_ms": 9_999},
        {"rejected_in_a_row_max": 0, "http_port": 65_535},
        {"instance_id": "worker-1.a_B"},
        {"input_topic": "x" * 249},
    ],
    ids=str,
)
def test_values_at_their_limits_are_accepted(together: dict[str, object]) -> None:
    settings = load_settings(**together)
    assert together == {name: getattr(settings, name) for name in together}


@pytest.mark.parametrize(
    ("protocol", "session_ms", "expected"),
    [
        ("consumer", "45000", "needs GROUP_PROTOCOL=classic"),
        ("classic", "10000", "must exceed TRANSACTION_TIMEOUT_MS"),
        ("classic", "soon", "must exceed TRANSACTION_TIMEOUT_MS"),
        ("classic", "", "must exceed TRANSACTION_TIMEOUT_MS"),
        ("classic", "-20000", "must exceed TRANSACTION_TIMEOUT_MS"),
    ],
)
def test_session_shorter_than_a_transaction_is_refused(protocol: str, session_ms: str, expected: str) -> None:
    path = kafka_config(f"session.timeout.ms={session_ms}")
    assert expected in refusal(kafka_config=path, group_protocol=protocol)


def test_session_longer_than_a_transaction_is_accepted() -> None:
    settings = load_settings(kafka_config=kafka_config("session.timeout.ms=10001"), group_protocol="classic")
    assert settings.client_config == {"session.timeout.ms": "10001"}


@pytest.mark.parametrize("heartbeat_ms", ["0", "-1", "soon", "", "15001", "45000"])
def test_heartbeat_that_is_too_rare_for_its_session_is_refused(heartbeat_ms: str) -> None:
    path = kafka_config(f"heartbeat.interval.ms={heartbeat_ms}")
    assert "a third of session.timeout.ms" in refusal(kafka_config=path, group_protocol="classic")


def test_heartbeat_of_the_client_is_refused_under_consumer() -> None:
    path = kafka_config("heartbeat.interval.ms=3000")
    expected = "heartbeat.interval.ms in KAFKA_CONFIG needs GROUP_PROTOCOL=classic or auto"
    assert expected in refusal(kafka_config=path, group_protocol="consumer")


def test_heartbeat_of_a_third_of_its_session_is_accepted() -> None:
    load_settings(kafka_config=kafka_config("heartbeat.interval.ms=15000"), group_protocol="classic")
    lines = ("session.timeout.ms=12000", "heartbeat.interval.ms=4000")
    load_settings(kafka_config=kafka_config(*lines), group_protocol="auto")


def test_kafka_config_has_a_name_and_a_value_per_line() -> None:
    path = kafka_config("# SASL", "! too", "", "  sasl.username = me ", "sasl.password=a=b # c", "ssl.ca=")
    expected = {"sasl.username": "me", "sasl.password": "a=b # c", "ssl.ca": ""}
    assert load_settings(kafka_config=path).client_config == expected


@pytest.mark.parametrize("line", [SECRET, f"={SECRET}", f" = {SECRET}", f"sasl.password: {SECRET}"])
def test_malformed_line_of_kafka_config_is_refused_with_its_number(line: str) -> None:
    message = refusal(kafka_config=kafka_config("a=b", line))
    assert "line 2 of kafka.properties" in message
    assert SECRET not in message


def test_unreadable_kafka_config_is_refused() -> None:
    Path("binary").write_bytes(b"\xff")
    for path in (Path("none"), Path(), Path("binary")):
        assert f"KAFKA_CONFIG: cannot read {path}" in refusal(kafka_config=path)


@pytest.mark.parametrize(
    "name",
    [
        *sorted(FORBIDDEN_KAFKA_CONFIG),
        "test.mock.num.brokers",
        "plugin.library.paths",
        "default.topic.config",
    ],
)
def test_name_that_exactness_depends_on_is_refused_in_kafka_config(name: str) -> None:
    message = refusal(kafka_config=kafka_config("security.protocol=ssl", f"  {name} = {SECRET}"))
    assert f"line 2 of kafka.properties: {name} is set by the worker" in message
    assert SECRET not in message


@pytest.mark.parametrize(
    "name",
    ["acks", "auto.offset.reset", "bootstrap.servers", "delivery.timeout.ms", "enable.auto.commit",
     "enable.auto.offset.store", "enable.idempotence", "group.id", "group.instance.id", "isolation.level",
     "max.poll.interval.ms", "metadata.broker.list", "partition.assignment.strategy",
     "transaction.timeout.ms", "transactional.id"],
)  # fmt: skip
def test_list_of_forbidden_names_does_not_shrink(name: str) -> None:
    with pytest.raises(ValueError, match="is set by the worker; remove the line"):
        read_properties(kafka_config(f"{name}=x"))


@pytest.mark.parametrize("name", NAMES)
def test_no_error_shows_a_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The value is invalid for most settings; not even the causes in a traceback show it."""
    value = f"{SECRET}: \n{SECRET}"
    monkeypatch.setenv("STREAM_COMMIT_INTERVAL_MS", "0")
    monkeypatch.setenv(PREFIX + name.upper(), value)
    with pytest.raises(Misconfigured) as caught:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_no_error_about_contradicting_values_shows_kafka_config() -> None:
    """Relations are checked after all values are read; pydantic would show all of them."""
    path = kafka_config(f"sasl.password={SECRET}", f"session.timeout.ms={SECRET}")
    for overrides in (
        {"group_protocol": "classic"},
        {"static_membership": True},
        {"count_topic": "text-blobs"},
    ):
        with pytest.raises(Misconfigured) as caught:
            load_settings(kafka_config=path, **overrides)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_printed_settings_do_not_show_kafka_config() -> None:
    settings = load_settings(kafka_config=kafka_config(f"sasl.password={SECRET}"))
    assert settings.client_config["sasl.password"] == SECRET
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_table_has_a_row_for_every_setting() -> None:
    head, rule, *rows = settings_table().splitlines()
    assert (head.count("|"), rule.count("|")) == (4, 4)
    assert [row.split("`")[1] for row in rows] == [PREFIX + name.upper() for name in Settings.model_fields]
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 3
        assert cells[2].endswith(".")


def test_table_shows_the_same_defaults_on_every_machine() -> None:
    table = settings_table()
    assert "| `STREAM_INPUT_TOPIC` | `text-blobs` | Topic of the text blobs to count. |" in table
    assert "| `STREAM_STATIC_MEMBERSHIP` | `false` |" in table
    assert "| `STREAM_HTTP_PORT` | `0` |" in table
    assert "| `STREAM_STATE_DIR` |  |" in table
    assert "| `STREAM_KAFKA_CONFIG` |  |" in table
    assert str(load_settings().state_dir) not in table


def test_faults_need_a_second_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_FAULTS", "original")
    with pytest.raises(Misconfigured, match="STREAM_FAULTS_ACCEPTED=true") as refused:
        load_settings()
    assert "on purpose" in str(refused.value)
    monkeypatch.setenv("STREAM_FAULTS_ACCEPTED", "true")
    assert load_settings().faults == "original"


def test_no_faults_by_default_even_if_they_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().faults == "none"
    monkeypatch.setenv("STREAM_FAULTS_ACCEPTED", "true")
    assert load_settings().faults == "none"


@pytest.mark.parametrize("token", ["tök", "two words", "line\n", "\x7f"])
def test_token_that_no_header_can_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(Misconfigured, match="STREAM_SERVE_TOKEN") as refused:
        load_settings(serve_token=token)
    assert token not in str(refused.value)
