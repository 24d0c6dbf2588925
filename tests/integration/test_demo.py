import os
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

pytestmark = pytest.mark.broker


def demo(
    *arguments: str, env: dict[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "stream", "demo", *arguments],
        env={**base, **(env or {})}, input=text, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


@pytest.mark.embedded
def test_demo_starts_its_own_broker_and_counts_the_given_text_exactly_once(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_bytes(b"Listen, silent tinsel\n\xff\xfe broken\n")
    ended = demo("--file", str(mine), "--rounds", "2", text="and a cat by pipe\n")
    assert ended.returncode == 0, ended.stderr
    assert "exactly once" in ended.stdout
    assert "mine.txt:1  3 words: enlist 3, listen 3, silent 3, tinsel 3" in ended.stdout
    assert "1 dead letter, 0 differences" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_demo_on_a_given_broker_deletes_its_topics(kafka: str) -> None:
    before = set(AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics)
    ended = demo("--rounds", "1", env={"STREAM_BOOTSTRAP_SERVERS": kafka})
    assert ended.returncode == 0, ended.stderr
    after = set(AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics)
    assert not {topic for topic in after - before if "demo" in topic}


def test_missing_file_is_a_clear_error() -> None:
    ended = demo("--file", "no-such-file", env={"STREAM_BOOTSTRAP_SERVERS": "localhost:1"})
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
