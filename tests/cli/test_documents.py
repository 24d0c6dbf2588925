"""`schemas` and `settings`, which write files of the repository."""

import json
from pathlib import Path

import pytest
from cli.running import Cli

from stream.config import Settings, settings_table
from stream.tools.contracts.documents import documents

PAGE = "# A\n\n<!-- settings -->\nold\n<!-- /settings -->\n\nafter\r\n"


def test_schemas_are_printed_as_one_object(cli: Cli) -> None:
    assert json.loads(cli("schemas").out) == documents()


def test_written_schemas_pass_the_check_and_are_not_rewritten(cli: Cli, tmp_path: Path) -> None:
    written = cli("schemas", "--write", "--dir", "new/schemas")
    assert written.status == 0
    assert len(written.lines) == len(documents())
    assert {path.name for path in (tmp_path / "new/schemas").iterdir()} == set(documents())
    assert not cli("schemas", "--write", "--dir", "new/schemas").out
    assert cli("schemas", "--check", "--dir", "new/schemas").status == 0


def test_check_names_outdated_and_extra_files(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    missing = cli("schemas", "--check")
    assert missing.status == 1
    assert "anagram-stream schemas --write" in missing.err
    cli("schemas", "--write")
    first = next(iter(documents()))
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


def test_settings_are_printed_as_markdown_even_if_a_setting_is_wrong(cli: Cli) -> None:
    done = cli("settings", env={"STREAM_UNKNOWN": "1"})
    assert (done.status, done.out) == (0, settings_table() + "\n")


def test_current_settings_have_their_origin_and_no_secret(cli: Cli, tmp_path: Path) -> None:
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


def test_only_the_text_between_the_markers_is_replaced(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "docs/reference/settings.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(PAGE.encode())
    stale = cli("settings", "--check")
    assert stale.status == 1
    assert "anagram-stream settings --write docs/reference/settings.md" in stale.err
    assert cli("settings", "--write").status == 0
    assert path.read_bytes().decode() == PAGE.replace("old", settings_table())
    assert cli("settings", "--check").status == 0


@pytest.mark.parametrize("text", [None, "# A\n", "<!-- settings -->\n"])
def test_file_without_markers_is_refused(text: str | None, cli: Cli, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    assert cli("settings", "--write", "README.md").status == 2


def test_documents_of_the_repository_are_up_to_date(cli: Cli) -> None:
    root = Path(__file__).parents[2]
    assert cli("settings", "--check", str(root / "docs/reference/settings.md")).status == 0
    assert cli("schemas", "--check", "--dir", str(root / "schemas")).status == 0
