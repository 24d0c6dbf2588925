import io
import os
import sys
from pathlib import Path

import pytest

from stream.cli.blobs import STDIN, Blob, Cut, blobs, sources
from stream.errors import Misconfigured

LINES = Cut(whole=False, bytes_max=100, keyed=True, prefix="")
WHOLE = Cut(whole=True, bytes_max=100, keyed=True, prefix="")


def cut(path: Path, how: Cut) -> list[Blob]:
    return list(blobs(sources([path]), how))


def test_line_is_a_blob_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n\n \t\r\ntwo words\r\nlast")
    assert [(b.key, b.text) for b in cut(path, LINES)] == [
        ("a.txt:1", b"one"),
        ("a.txt:4", b"two words"),
        ("a.txt:5", b"last"),
    ]


def test_whole_file_is_a_blob_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\n\xff\r\n")
    assert [(b.key, b.text) for b in cut(path, WHOLE)] == [("a.txt", b"\n\xff\r\n")]


def test_empty_file_is_a_whole_blob_and_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    assert [b.text for b in cut(path, WHOLE)] == [b""]
    assert not cut(path, LINES)


def test_folder_gives_its_files_by_name_with_paths_from_there_and_no_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/y/x.txt", ".git/config", "a/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    assert [b.key for b in cut(tmp_path, WHOLE)] == ["b.txt", "a/z.txt", "a/y/x.txt"]
    assert [b.key for b in cut(tmp_path, LINES)] == ["b.txt:1", "a/z.txt:1", "a/y/x.txt:1"]


def test_standard_input_has_keys_only_with_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*, whole: bool, prefix: str) -> list[str | None]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
        return [b.key for b in blobs(sources([STDIN]), Cut(whole, 100, keyed=True, prefix=prefix))]

    assert read(whole=False, prefix="") == [None, None]
    assert read(whole=False, prefix="web-") == ["web-1", "web-2"]
    assert read(whole=True, prefix="web") == ["web"]
    assert [source.path for source in sources([])] == [None]


@pytest.mark.parametrize(
    ("how", "keys"),
    [
        (Cut(False, 100, keyed=True, prefix="p/"), ["p/a:1"]),
        (Cut(False, 100, keyed=False, prefix=""), [None]),
    ],
)
def test_keys_have_the_prefix_or_are_left_out(how: Cut, keys: list[str | None], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    assert [b.key for b in cut(tmp_path / "a", how)] == keys


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_line_up_to_the_limit_is_sent_and_a_longer_one_is_a_problem(ending: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 100 + b"\n" + b"y" * 101 + b"\n" + b"z" * 5_000_000 + b"\n" + b"w" * 100 + ending)
    found = cut(path, LINES)
    assert [bool(b.problem) for b in found] == [False, True, True, False]
    assert [b.where for b in found] == ["a.txt:1", "a.txt:2", "a.txt:3", "a.txt:4"]
    assert sum(b.read_bytes for b in found) == path.stat().st_size
    assert all(len(b.text) <= 102 for b in found)  # of the long ones no more was held


def test_file_longer_than_the_limit_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / "b").write_bytes(b"x" * 101)
    assert [bool(b.problem) for b in cut(tmp_path, WHOLE)] == [False, True]


def test_file_that_went_away_is_a_problem_and_the_next_one_is_read(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("text")
    found = sources([tmp_path])
    (tmp_path / "a").unlink()
    assert [(b.where, bool(b.problem)) for b in blobs(found, LINES)] == [("a", True), ("b:1", False)]


def test_name_that_is_not_utf_8_can_be_a_key(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    try:
        path.write_text("text")
    except OSError:
        pytest.skip("this file system has no such names")
    assert [b.key for b in cut(path, LINES)] == ["\ufffd.txt:1"]


def test_pipe_in_the_file_system_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\n")
    os.close(writing)
    try:
        assert [b.text for b in cut(Path(f"/dev/fd/{reading}"), LINES)] == [b"one"]
    finally:
        os.close(reading)


def test_missing_file_and_folder_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"no file .*missing"):
        sources([tmp_path / "missing"])
    with pytest.raises(Misconfigured, match="no files in"):
        sources([tmp_path])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch(mode=0)
    with pytest.raises(Misconfigured, match="permission"):
        sources([tmp_path])
