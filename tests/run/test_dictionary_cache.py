from pathlib import Path

import pytest

from stream.core.dictionary import build_index
from stream.errors import Misconfigured
from stream.run import dictionary
from stream.run.dictionary import load_index

WORDS = ["act", "cat", "Tac", "don't"]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.write_text("\n".join(WORDS))
    return path


def test_second_start_makes_no_index(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_index(words, tmp_path / "cache")
    monkeypatch.delattr(dictionary, "build_index")
    again = load_index(words, tmp_path / "cache")
    assert again == first == build_index(WORDS)


def test_changed_list_is_another_index(words: Path, tmp_path: Path) -> None:
    load_index(words, tmp_path / "cache")
    words.write_text("dog")
    assert load_index(words, tmp_path / "cache") == build_index(["dog"])


@pytest.mark.parametrize("damage", [b"", b"x", b"flipped"])
def test_damaged_cache_is_made_again(words: Path, tmp_path: Path, damage: bytes) -> None:
    load_index(words, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole.replace(b"cat", b"cab") if damage == b"flipped" else damage)
    assert load_index(words, tmp_path / "cache") == build_index(WORDS)
    assert kept.read_bytes() == whole


def test_cache_that_cannot_be_kept_is_done_without(words: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_index(words, tmp_path / "file" / "cache") == build_index(WORDS)


def test_list_without_words_is_refused_each_time(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("12")
    for _ in range(2):
        with pytest.raises(Misconfigured):
            load_index(tmp_path / "none", tmp_path / "cache")
