"""Runs the commands of the tutorial and the how-to guides, with a separate Kafka for each page."""

import os
import sys
from pathlib import Path

import pytest
from support.environment import SHORT_SESSIONS
from support.pages import Page, assert_output, blocks

from stream.broker.embedded import EmbeddedBroker
from stream.broker.tcp import free_port

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TESTED = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
WITH_COMMANDS = [
    path
    for path in TESTED
    if any(block.directive not in {"skip", "text"} for block in blocks(path.read_text(encoding="utf-8")))
]


@pytest.mark.broker
@pytest.mark.embedded
@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: path.stem)
def test_every_command_of_the_page_does_what_the_page_says(path: Path, tmp_path: Path) -> None:
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    with EmbeddedBroker(properties=SHORT_SESSIONS) as broker:
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("STREAM_", "PYTEST"))
        } | {
            "STREAM_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "STREAM_STATE_DIR": str(tmp_path / "state"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "120",
        }
        port = str(free_port())
        env["STREAM_SERVE_PORT"] = port
        replaced = {"localhost:9092": broker.bootstrap_servers, "localhost:8000": f"localhost:{port}"}
        page = Page(path, tmp_path, env, replaced)
        page.run()
    assert page.commands


def test_a_skipped_block_has_a_reason() -> None:
    for path in TESTED:
        for block in blocks(path.read_text(encoding="utf-8")):
            assert block.directive != "skip" or len(block.argument.split()) > 1, f"{path}:{block.line}"


def test_a_failing_command_and_other_output_are_noticed(tmp_path: Path) -> None:
    text = tmp_path / "page.md"
    page = Page(text, tmp_path, dict(os.environ), {})
    text.write_text("```sh\nexit 3\n```\n")
    with pytest.raises(AssertionError, match="line 2: status 3, not 0"):
        page.run()
    text.write_text("<!-- test: status 3 -->\n```sh\nexit 3\n```\n")
    page.run()
    text.write_text("```sh\necho one two\n```\n<!-- test: output -->\n```text\none … three\n```\n")
    with pytest.raises(AssertionError, match="not in the output: one … three"):
        page.run()
    with pytest.raises(AssertionError):
        assert_output("b\na\n", "a\nb\n", "in another order")


def test_a_comment_that_belongs_to_no_block_is_noticed() -> None:
    with pytest.raises(AssertionError):
        list(blocks("<!-- test: skip it is not right before the block -->\n\n```sh\ntrue\n```\n"))
