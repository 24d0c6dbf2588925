from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from stream import dictionary
from stream.core import lexicon as lexicon_module
from stream.core.dictionary import build_index
from stream.core.engine import Engine
from stream.core.lexicon import Lexicon, make_lexicon
from stream.dictionary import forget, load_index, load_lexicon
from stream.errors import Misconfigured

WORDS = ["act", "cat", "Tac", "don't", "antidisestablishmentarianism"]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words"
    path.write_text("\n".join(WORDS))
    return path


def test_forget_deletes_the_files_of_one_word_list_only(words: Path, tmp_path: Path) -> None:
    cache, other = tmp_path / "cache", tmp_path / "other"
    load_lexicon(words, cache)
    other.write_text("dog")
    load_index(other, cache)
    before = set(cache.iterdir())
    assert len(before) == 3
    forget(words, cache)
    assert len(set(cache.iterdir())) == 1
    forget(other, cache)
    assert not list(cache.iterdir())


def test_second_start_reads_the_index_from_the_cache(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_index(words, tmp_path / "cache")
    monkeypatch.delattr(dictionary, "build_index")
    again = load_index(words, tmp_path / "cache")
    assert again == first == build_index(WORDS)


def test_changed_word_list_gets_a_new_index(words: Path, tmp_path: Path) -> None:
    load_index(words, tmp_path / "cache")
    words.write_text("dog")
    assert load_index(words, tmp_path / "cache") == build_index(["dog"])


@pytest.mark.parametrize("damage", [b"", b"x", b"flipped"])
def test_damaged_index_is_rebuilt(words: Path, tmp_path: Path, damage: bytes) -> None:
    load_index(words, tmp_path / "cache")
    (cached,) = (tmp_path / "cache").iterdir()
    whole = cached.read_bytes()
    cached.write_bytes(whole.replace(b"cat", b"cab") if damage == b"flipped" else damage)
    assert load_index(words, tmp_path / "cache") == build_index(WORDS)
    assert cached.read_bytes() == whole


def test_byte_order_marks_are_not_part_of_a_word(tmp_path: Path) -> None:
    """This includes marks inside a list that was concatenated from several files."""
    (tmp_path / "words").write_bytes("\ufeffgranite\r\ncat\r\n\ufeffdog\r\n".encode())
    assert load_index(tmp_path / "words", tmp_path / "cache") == build_index(["granite", "cat", "dog"])


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-16", "mark of UTF-16"), ("utf-16-le", "like UTF-16"), ("latin-1", "byte 2")]
)
def test_refusal_names_the_encoding_of_a_word_list(tmp_path: Path, encoding: str, name: str) -> None:
    (tmp_path / "words").write_bytes("naïve\ncat\n".encode(encoding))
    with pytest.raises(Misconfigured, match=name):
        load_index(tmp_path / "words", tmp_path / "cache")


def test_index_works_without_a_writable_cache(words: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_index(words, tmp_path / "file" / "cache") == build_index(WORDS)


def test_index_of_a_list_without_words_is_refused_each_time(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("12")
    for _ in range(2):
        with pytest.raises(Misconfigured):
            load_index(tmp_path / "none", tmp_path / "cache")


def assert_same(lexicon: Lexicon, other: Lexicon) -> None:
    np.testing.assert_equal(asdict(lexicon), asdict(other))
    texts = [b"act tac dog", b"Antidisestablishmentarianism cat"]
    counted, expected = Engine(lexicon).count(texts), Engine(other).count(texts)
    assert (counted.counts_json, counted.words) == (expected.counts_json, expected.words)


def test_second_start_reads_the_lexicon_from_the_cache(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_lexicon(words, tmp_path / "cache")
    monkeypatch.delattr(dictionary, "make_lexicon")
    monkeypatch.delattr(dictionary, "load_index")
    assert_same(load_lexicon(words, tmp_path / "cache"), first)
    assert_same(first, make_lexicon(build_index(WORDS)))


def test_changed_word_list_gets_a_new_lexicon(words: Path, tmp_path: Path) -> None:
    load_lexicon(words, tmp_path / "cache")
    words.write_text("dog")
    assert_same(load_lexicon(words, tmp_path / "cache"), make_lexicon(build_index(["dog"])))


@pytest.mark.parametrize("damage", [b"", b"x", b"flipped"])
def test_damaged_lexicon_is_rebuilt(words: Path, tmp_path: Path, damage: bytes) -> None:
    load_lexicon(words, tmp_path / "cache")
    (cached,) = (tmp_path / "cache").glob("*.npz")
    whole = cached.read_bytes()
    cached.write_bytes(whole.replace(b"cat", b"cab") if damage == b"flipped" else damage)
    assert_same(load_lexicon(words, tmp_path / "cache"), make_lexicon(build_index(WORDS)))
    assert cached.read_bytes().partition(b"\n")[0] != damage
    assert dictionary._load_lexicon(cached) is not None


def test_lexicon_works_without_a_writable_cache(words: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_same(load_lexicon(words, tmp_path / "file" / "cache"), make_lexicon(build_index(WORDS)))


def test_lexicon_of_a_list_without_words_is_refused_each_time(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("12")
    for _ in range(2):
        with pytest.raises(Misconfigured):
            load_lexicon(tmp_path / "none", tmp_path / "cache")


def test_lexicon_that_does_not_find_its_own_words_is_rebuilt(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a lexicon was cached by a version with different factors."""
    words.write_text("act\ndog\nlisten")
    with monkeypatch.context() as patch:
        patch.setattr(lexicon_module, "_FACTORS", lexicon_module._FACTORS[::-1].copy())
        dictionary.load_lexicon(words, tmp_path / "cache")
    again = dictionary.load_lexicon(words, tmp_path / "cache")
    assert again.is_consistent()


def test_word_list_is_read_only_once(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is replaced right after it is read."""
    read = dictionary._read

    def replaced(path: Path) -> bytes:
        content = read(path)
        path.write_text("dog")
        return content

    monkeypatch.setattr(dictionary, "_read", replaced)
    assert b"act" in load_lexicon(words, tmp_path / "cache").signatures
