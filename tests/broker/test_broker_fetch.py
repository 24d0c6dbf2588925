import io
from pathlib import Path

import pytest
from rich.console import Console

from stream.broker import fetch
from stream.broker.fetch import Download, shown
from stream.broker.locks import locked, try_lock
from stream.errors import Refused

DOWNLOADS = [Download("a Java runtime", 35_000_000), Download("Apache Kafka", 45_000_000)]


def shown_on(console: Console) -> None:
    with shown(DOWNLOADS, console) as advances:
        for download, advance in zip(DOWNLOADS, advances, strict=True):
            advance(download.size_bytes)


def test_without_a_terminal_there_is_a_line_at_the_start_and_one_at_the_end() -> None:
    written = io.StringIO()
    shown_on(Console(file=written, width=20))
    first, last = written.getvalue().splitlines()
    assert first == "fetching a Java runtime (35 MB) and Apache Kafka (45 MB), once"
    assert last.startswith("fetched in ")


def test_a_failed_fetch_is_not_said_to_be_done() -> None:
    written = io.StringIO()
    with pytest.raises(OSError, match="away"), shown(DOWNLOADS, Console(file=written)):
        raise OSError("away")
    assert "fetched" not in written.getvalue()


def test_a_terminal_sees_a_row_of_bytes_for_each_download() -> None:
    written = io.StringIO()
    shown_on(Console(file=written, force_terminal=True, width=100))
    for download in DOWNLOADS:
        assert download.name in written.getvalue()
    assert "35.0/35.0 MB" in written.getvalue()


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", when_waiting=pytest.fail):
        assert try_lock(tmp_path / "lock") is None
    with locked(tmp_path / "lock", when_waiting=pytest.fail):
        pass


def test_waiting_for_a_lock_is_announced_once_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.broker.locks._WAIT_S_MAX", 0.1)
    monkeypatch.setattr("stream.broker.locks._LOOK_AGAIN_S", 0.02)
    announced: list[str] = []
    with (
        locked(tmp_path / "lock", when_waiting=pytest.fail),
        pytest.raises(Refused, match="locked"),
        locked(tmp_path / "lock", when_waiting=lambda: announced.append("waiting")),
    ):
        pass
    assert announced == ["waiting"]


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch.cache_dir().is_relative_to(tmp_path)
    assert fetch.cache_dir().is_dir()
