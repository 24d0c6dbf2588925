import json
import re
from pathlib import Path

import pytest
from cli.running import Cli

from stream.worker import startup as prepare

UNAVAILABLE = {"STREAM_BOOTSTRAP_SERVERS": "localhost:1"}
COMMANDS = (
    ("produce",),
    ("results",),
    ("results", "--follow", "--from-end"),
    ("totals",),
    ("dead-letters", "list"),
    ("dead-letters", "show", "0:0"),
    ("dead-letters", "show", "--input", "0:0"),
)


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_unavailable_broker_is_one_error_with_a_hint(
    args: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "COMMAND_S_MAX", 0.2)
    done = cli(*args, env=UNAVAILABLE)
    assert done.status == 1
    assert not done.out
    waits = (
        "waiting for Kafka at localhost:1",
        "no answer from localhost:1",
    )
    lines = [line for line in done.err.splitlines() if not line.startswith(waits)]
    assert lines[0].startswith("error: no Kafka broker answers at localhost:1")
    assert "fix: set STREAM_BOOTSTRAP_SERVERS" in lines[1]
    assert len(lines) == 2


@pytest.mark.parametrize("args", [("settings", "--current"), ("pipeline", "--text", "cat")], ids=" ".join)
def test_service_links_of_kubernetes_are_ignored_with_one_log_line(args: tuple[str, ...], cli: Cli) -> None:
    plain = cli(*args)
    links = {"STREAM_SERVICE_HOST": "10.0.0.1", "STREAM_PORT": "tcp://10.0.0.1:80"}
    done = cli(*args, env=links | {"STREAM_HTTP_PORT": "tcp://10.0.0.2:8080"})
    assert (done.status, done.out) == (0, plain.out)
    (line,) = [line for line in done.err.splitlines() if line.startswith("{")]
    event = json.loads(line)
    assert event["event"] == "Kubernetes service links ignored"
    assert event["variables"] == ["STREAM_HTTP_PORT", *sorted(links)]


@pytest.mark.parametrize("args", [*COMMANDS, ("settings", "--current")], ids=" ".join)
def test_unknown_setting_is_refused(args: tuple[str, ...], cli: Cli) -> None:
    done = cli(*args, env={"STREAM_BOOTSTRAP_SERVER": "x"})
    assert done.status == 2
    assert "unknown setting STREAM_BOOTSTRAP_SERVER" in done.err


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("produce", "missing.txt"), "no such file: missing.txt"),
        (("produce", "empty"), "no files in empty"),
        (("produce", "--rate", "0"), "--rate"),
        (("produce", "--rate", "nan"), "--rate"),
        (("produce", "--rate", "x"), "--rate"),
        (("produce", "--no-key", "--id-prefix", "x"), "--id-prefix and --no-key"),
        (("results", "--from-end"), "--from-end"),
        (("results", "--limit", "0"), "--limit"),
        (("results", "--format", "xml"), "xml"),
        (("totals", "--top", "-1"), "--top"),
        (("totals", "?!"), "no words in '?!'"),
        (("dead-letters", "list", "--reason", "bad-luck"), "bad-luck"),
        (("dead-letters", "show"), "PARTITION:OFFSET"),
        (("dead-letters", "show", "1"), "'1' is not a position"),
        (("dead-letters", "show", "1:x"), "'1:x' is not a position"),
        (("dead-letters", "show", "topic:1:2"), "'topic:1:2' is not a position"),
        (("schemas", "--write", "--check"), "cannot be combined"),
        (("produce", "--id-prefix", "\udcff"), "--id-prefix is not UTF-8"),
        (("settings", "--write", "--check"), "cannot be combined"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_exits_with_status_2_and_names_the_mistake(
    args: tuple[str, ...], complaint: str, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    done = cli(*args, env=UNAVAILABLE)
    assert done.status == 2
    assert not done.out
    assert complaint in re.sub(r"[\s│]+", " ", done.err)


@pytest.mark.parametrize(
    "args", [("produce",), ("results",), ("totals",), ("dead-letters", "list"), ("dead-letters", "show"),
             ("schemas",), ("settings",)], ids=" ".join
)  # fmt: skip
def test_help_has_examples(args: tuple[str, ...], cli: Cli) -> None:
    done = cli(*args, "--help")
    assert done.status == 0
    assert f"anagram-stream {' '.join(args)}" in done.out.partition("Examples")[2]


@pytest.mark.parametrize("number", ["0", "257", "many"])
def test_a_wrong_number_of_processes_is_one_error(number: str, cli: Cli) -> None:
    done = cli("worker", "--processes", number)
    assert (done.status, done.err) == (
        2,
        "error: STREAM_PROCESSES: must be a number from 1 to 256, or auto\n",
    )


def test_paragraphs_of_a_help_text_fill_the_lines(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 1_000)
    done = cli("lag", "--help")
    assert any("log end offset is" in line and "unprocessed record." in line for line in done.lines)
