"""`schemas` and `settings`, which write what lies in the repository."""

import json
from pathlib import Path

import pytest
from cli.running import Cli

from stream.config import Settings, settings_table
from stream.core.schemas import schemas

README = "# A\n\n<!-- settings -->\nold\n<!-- /settings -->\n\nafter\r\n"


def test_schemas_are_printed_as_one_object(cli: Cli) -> None:
    assert json.loads(cli("schemas").out) == schemas()


def test_written_schemas_pass_the_check_and_are_not_written_again(cli: Cli, tmp_path: Path) -> None:
    written = cli("schemas", "--write", "--dir", "made/schemas")
    assert written.status == 0
    assert len(written.lines) == len(schemas())
    assert {path.name for path in (tmp_path / "made/schemas").iterdir()} == set(schemas())
    assert not cli("schemas", "--write", "--dir", "made/schemas").out
    assert cli("schemas", "--check", "--dir", "made/schemas").status == 0


def test_folder_of_another_content_fails_the_check_and_names_the_files(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    missing = cli("schemas", "--check")
    assert missing.status == 1
    assert "anagram-stream schemas --write" in missing.err
    cli("schemas", "--write")
    first = next(iter(schemas()))
    (folder / first).write_text("{}")
    changed = cli("schemas", "--check")
    assert changed.status == 1
    assert first in changed.err
    cli("schemas", "--write")
    (folder / "extra.v1.json").write_text("{}")
    extra = cli("schemas", "--check")
    assert extra.status == 1
    assert "extra.v1.json" in extra.err


def test_folder_that_cannot_be_written_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert cli("schemas", "--write", "--dir", "file/schemas").status == 2


def test_settings_are_printed_as_markdown_even_with_wrong_ones_set(cli: Cli) -> None:
    done = cli("settings", env={"STREAM_UNKNOWN": "1"})
    assert (done.status, done.out) == (0, settings_table() + "\n")


def test_settings_in_force_say_where_they_come_from_and_no_secret(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "kafka.properties").write_text("sasl.password=secret\n")
    done = cli(
        "settings", "--current", env={"STREAM_KAFKA_CONFIG": "kafka.properties", "STREAM_GROUP_ID": "g"}
    )
    rows = {row[0]: row[1:] for row in done.rows[1:]}
    assert set(rows) == {f"STREAM_{name.upper()}" for name in Settings.model_fields}
    assert rows["STREAM_KAFKA_CONFIG"] == ["kafka.properties", "set"]
    assert rows["STREAM_GROUP_ID"] == ["g", "set"]
    assert rows["STREAM_COMMIT_INTERVAL_MS"] == ["100", "default"]
    assert rows["STREAM_STATIC_MEMBERSHIP"] == ["false", "default"]
    assert "secret" not in done.out + done.err


def test_settings_are_written_between_their_marks_and_nothing_else_changes(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(README.encode())
    stale = cli("settings", "--check")
    assert stale.status == 1
    assert "anagram-stream settings --write README.md" in stale.err
    assert cli("settings", "--write", "README.md").status == 0
    assert path.read_bytes().decode() == README.replace("old", settings_table())
    assert cli("settings", "--check", "README.md").status == 0


@pytest.mark.parametrize("text", [None, "# A\n", "<!-- settings -->\n"])
def test_file_without_a_place_for_the_settings_is_refused(text: str | None, cli: Cli, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    assert cli("settings", "--write").status == 2
