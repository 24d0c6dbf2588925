"""The folder of a supervisor's sockets: read-only roots, long paths, leftover folders."""

import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from stream.errors import Misconfigured
from stream.supervisor import sockets
from stream.supervisor.sockets import sockets_folder
from stream.telemetry.listening import listen


@pytest.fixture
def no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - created first
    def missing() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", missing)


def answers(path: Path) -> bool:
    with listen(str(path), 0), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        return True


@pytest.mark.usefixtures("no_temporary_folder")
def test_sockets_lie_in_the_state_folder(tmp_path: Path) -> None:
    with sockets_folder(tmp_path / "state") as (folder, short_path):
        assert folder.is_relative_to(tmp_path / "state")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert answers(short_path / "0")
    assert not folder.exists()


@pytest.mark.usefixtures("no_temporary_folder")
@pytest.mark.parametrize("characters", [50, 150])
def test_path_of_the_state_folder_may_be_long(tmp_path: Path, characters: int) -> None:
    with sockets_folder(tmp_path / ("s" * characters) / "state") as (folder, short_path):
        assert answers(short_path / "255")
        assert (folder / "255").exists()


def test_folder_of_a_killed_supervisor_is_deleted_and_that_of_a_running_one_is_kept(tmp_path: Path) -> None:
    killed = tmp_path / "@sockets/killed"
    killed.mkdir(parents=True)
    listen(str(killed / "0"), 0).close()
    with sockets_folder(tmp_path) as (first, _), sockets_folder(tmp_path) as (second, _):
        assert not killed.exists()
        assert first != second
        assert first.exists()
        assert second.exists()


def test_state_folder_that_supports_no_sockets_is_replaced_by_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network volumes do not support sockets."""

    def on_volume(host: str, port: int) -> Any:
        if host.startswith(str(tmp_path / "state")):
            raise OSError(95, "Operation not supported")
        return listen(host, port)

    monkeypatch.setattr(sockets, "listen", on_volume)
    with sockets_folder(tmp_path / "state") as (folder, short_path):
        assert folder.is_relative_to(tempfile.gettempdir())
        assert answers(short_path / "0")
    assert not folder.exists()


@pytest.mark.usefixtures("no_temporary_folder")
def test_no_folder_for_sockets_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with (
        pytest.raises(Misconfigured, match="Not a directory") as caught,
        sockets_folder(tmp_path / "state"),
    ):
        pass
    assert "STREAM_STATE_DIR" in caught.value.hint
