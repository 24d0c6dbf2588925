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


def test_without_a_terminal_the_start_and_the_end_are_one_line_each() -> None:
    written = io.StringIO()
    shown_on(Console(file=written, width=20))
    first, last = written.getvalue().splitlines()
    assert first == "downloading a Java runtime (35 MB) and Apache Kafka (45 MB) for the first run"
    assert last.startswith("downloaded in ")


def test_a_failed_download_is_not_reported_as_done() -> None:
    written = io.StringIO()
    with pytest.raises(OSError, match="away"), shown(DOWNLOADS, Console(file=written)):
        raise OSError("away")
    assert "downloaded" not in written.getvalue()


def test_a_terminal_shows_a_progress_bar_for_each_download() -> None:
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


def test_waiting_for_a_lock_is_reported_once_and_times_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.broker.locks._WAIT_S_MAX", 0.1)
    monkeypatch.setattr("stream.broker.locks._POLL_INTERVAL_S", 0.02)
    reported: list[str] = []
    with (
        locked(tmp_path / "lock", when_waiting=pytest.fail),
        pytest.raises(Refused, match="locked"),
        locked(tmp_path / "lock", when_waiting=lambda: reported.append("waiting")),
    ):
        pass
    assert reported == ["waiting"]


def test_the_cache_is_in_the_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch.cache_dir().is_relative_to(tmp_path)
    assert fetch.cache_dir().is_dir()
