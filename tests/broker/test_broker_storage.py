import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.broker.storage import Storage, cluster_id
from stream.errors import Misconfigured, Refused

Format = Callable[..., None]

# Creates the folder that the properties name, or fails, like Kafka's own tool.
TOOL = """
import pathlib, re, sys
settings = pathlib.Path(sys.argv[sys.argv.index("--config") + 1]).read_text()
folder = pathlib.Path(re.search("log.dirs=(.*)", settings)[1])
folder.mkdir()
(folder / "meta.properties").write_text(sys.argv[-1])
if "fail" in sys.argv:
    sys.exit("java.io.IOException: No space left on device")
"""


def formatted(folder: Storage, node_id: str = "1", *options: str) -> None:
    folder.format(node_id, lambda log_dir: {"log.dirs": str(log_dir)}, [sys.executable, "-c", TOOL, *options])


@pytest.fixture
def folder(tmp_path: Path) -> Storage:
    storage_folder = Storage(tmp_path / "broker", "4.4.0")
    os.close(storage_folder.lock())
    return storage_folder


def test_a_folder_is_formatted_once(folder: Storage) -> None:
    formatted(folder)
    before = (folder.log_dir / "meta.properties").read_text("utf-8")
    formatted(folder)
    assert (folder.log_dir / "meta.properties").read_text("utf-8") == before


def test_a_failed_format_leaves_a_folder_that_can_be_formatted(folder: Storage) -> None:
    with pytest.raises(Refused, match="the disk is full"):
        formatted(folder, "1", "fail")
    formatted(folder)
    assert (folder.log_dir / "meta.properties").exists()


def test_data_of_another_node_are_refused(folder: Storage) -> None:
    formatted(folder, "1")
    with pytest.raises(Refused, match=r"'node.id': '1'") as caught:
        formatted(folder, "2")
    assert "data_dir" in caught.value.hint


def test_data_of_another_kafka_version_are_refused(folder: Storage) -> None:
    formatted(Storage(folder.folder, "4.2.0"))
    with pytest.raises(Refused, match=r"4\.2\.0"):
        formatted(folder)


@pytest.mark.parametrize("where", [".", "kafka"])
def test_data_of_a_foreign_broker_are_refused(where: str, folder: Storage) -> None:
    (folder.folder / where).mkdir(exist_ok=True)
    (folder.folder / where / "meta.properties").touch()
    with pytest.raises(Refused, match="did not format"):
        formatted(folder)


def test_a_folder_in_use_is_refused(folder: Storage) -> None:
    descriptor = folder.lock()
    try:
        with pytest.raises(Refused, match="another broker uses"):
            folder.lock()
    finally:
        os.close(descriptor)


def test_a_folder_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be written"):
        Storage(tmp_path / "file" / "broker", "4.4.0").lock()


def test_a_cluster_id_does_not_look_like_an_option() -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", cluster_id()) for _ in range(1000))
