import io
import os
import sys
from pathlib import Path

import pytest

from stream.errors import Misconfigured
from stream.tools.blobs import STDIN, Blob, BlobSource, BlobSplitting, find_sources, not_text, read_blobs

LINES = BlobSplitting(whole=False, bytes_max=100, keyed=True, prefix="")
WHOLE = BlobSplitting(whole=True, bytes_max=100, keyed=True, prefix="")


def split(path: Path, splitting: BlobSplitting) -> list[Blob]:
    return list(read_blobs(find_sources([path]), splitting))


def test_each_line_is_a_blob_except_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n\n \t\r\ntwo words\r\nlast")
    assert [(b.key, b.text) for b in split(path, LINES)] == [
        ("a.txt:1", b"one"),
        ("a.txt:4", b"two words"),
        ("a.txt:5", b"last"),
    ]


def test_whole_file_is_one_blob_with_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\n\xff\r\n")
    assert [(b.key, b.text) for b in split(path, WHOLE)] == [("a.txt", b"\n\xff\r\n")]


def test_empty_file_is_an_empty_blob_or_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    assert [b.text for b in split(path, WHOLE)] == [b""]
    assert not split(path, LINES)


def test_folder_yields_its_visible_files_by_relative_path(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/y/x.txt", ".git/config", "a/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    assert [b.key for b in split(tmp_path, WHOLE)] == ["b.txt", "a/z.txt", "a/y/x.txt"]
    assert [b.key for b in split(tmp_path, LINES)] == ["b.txt:1", "a/z.txt:1", "a/y/x.txt:1"]


def test_standard_input_has_keys_only_with_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*, whole: bool, prefix: str) -> list[str | None]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
        return [
            b.key
            for b in read_blobs(find_sources([STDIN]), BlobSplitting(whole, 100, keyed=True, prefix=prefix))
        ]

    assert read(whole=False, prefix="") == [None, None]
    assert read(whole=False, prefix="web-") == ["web-1", "web-2"]
    assert read(whole=True, prefix="web") == ["web"]
    assert [source.path for source in find_sources([])] == [None]


@pytest.mark.parametrize(
    ("splitting", "keys"),
    [
        (BlobSplitting(False, 100, keyed=True, prefix="p/"), ["p/a:1"]),
        (BlobSplitting(False, 100, keyed=False, prefix=""), [None]),
    ],
)
def test_keys_have_the_prefix_or_are_omitted(
    splitting: BlobSplitting, keys: list[str | None], tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("text")
    assert [b.key for b in split(tmp_path / "a", splitting)] == keys


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_line_longer_than_the_limit_has_a_problem(ending: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 100 + b"\n" + b"y" * 101 + b"\n" + b"z" * 5_000_000 + b"\n" + b"w" * 100 + ending)
    blobs = split(path, LINES)
    assert [bool(b.problem) for b in blobs] == [False, True, True, False]
    assert [b.origin for b in blobs] == ["a.txt:1", "a.txt:2", "a.txt:3", "a.txt:4"]
    assert sum(b.read_bytes for b in blobs) == path.stat().st_size
    assert all(len(b.text) <= 102 for b in blobs)  # at most the limit plus a line ending is kept in memory


def test_file_longer_than_the_limit_has_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / "b").write_bytes(b"x" * 101)
    assert [bool(b.problem) for b in split(tmp_path, WHOLE)] == [False, True]


def test_vanished_file_has_a_problem_and_the_next_file_is_read(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text("text")
    sources = find_sources([tmp_path])
    (tmp_path / "a").unlink()
    assert [(b.origin, bool(b.problem)) for b in read_blobs(sources, LINES)] == [("a", True), ("b:1", False)]


def test_name_that_is_not_utf_8_can_be_a_key(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    try:
        path.write_text("text")
    except OSError:
        pytest.skip("this file system does not allow such names")
    assert [b.key for b in split(path, LINES)] == ["\ufffd.txt:1"]


def test_named_pipe_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\n")
    os.close(writing)
    try:
        assert [b.text for b in split(Path(f"/dev/fd/{reading}"), LINES)] == [b"one"]
    finally:
        os.close(reading)


def test_missing_file_and_folder_without_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"no such file: .*missing"):
        find_sources([tmp_path / "missing"])
    with pytest.raises(Misconfigured, match="no files in"):
        find_sources([tmp_path])


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read all files")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch(mode=0)
    with pytest.raises(Misconfigured, match="permission"):
        find_sources([tmp_path])


@pytest.mark.parametrize(
    ("content", "is_named"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", True),
        ("Größe\nÄcker\ncat\n".encode("latin-1"), True),
        ("cat\n".encode("utf-16"), True),
        ("cat\n".encode("utf-16-le"), True),
        (b"one\n\n\xff\n", False),  # one line of a text becomes one dead letter
        (("a" * (64 * 1024 - 1) + "ß\n").encode(), False),  # the sample ends within a character
        (("cat\n" * 16383 + "abcß\n").encode(), False),
        ("Straße\n".encode(), False),
        (b"", False),
    ],
)
def test_files_that_are_not_text_are_named(tmp_path: Path, content: bytes, is_named: bool) -> None:  # noqa: FBT001
    (tmp_path / "file").write_bytes(content)
    assert list(not_text(find_sources([tmp_path / "file"]))) == ["file"] * is_named


def test_pipe_or_missing_file_is_not_read_ahead(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not list(not_text([BlobSource(), *find_sources([tmp_path / "pipe"])]))
    assert not list(not_text([BlobSource(tmp_path / "gone", "gone", 1)]))
