import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from stream.cli.listing import Column, Rows, cut, cut_list, fit
from stream.core.text import printable

COLUMNS = (
    Column("name", least=8, flexible=True),
    Column("number", right=True),
    Column("words", least=10, flexible=True, shorten=cut_list),
    Column("more", optional=1),
)


def shown(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    file = io.StringIO()
    table = Rows(COLUMNS, Console(file=file, width=width, force_terminal=True, no_color=True))
    for row in rows:
        table.add(*row)
    table.flush()
    return file.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()


def test_table_fits_the_terminal_and_counts_omitted_words() -> None:
    rows = [("n" * 30, "1234567", "one=1 two=2 three=3 four=4", "m")]
    assert shown(rows, 100)[1].split() == ["n" * 30, "1234567", "one=1", "two=2", "three=3", "four=4", "m"]
    narrow = shown(rows, 34)
    assert "+" in narrow[1]
    assert "…" in narrow[1]
    assert "1234567" in narrow[1]
    assert "more" not in narrow[0]


@given(
    st.lists(st.tuples(st.text(), st.integers().map(str), st.text(), st.text(max_size=9)), min_size=1),
    st.integers(50, 200),
)
def test_each_row_is_one_line_that_fits_the_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    rows = [(name, number[:9], words, more) for name, number, words, more in rows]
    lines = shown(rows, width)
    assert len(lines) == len(rows) + 1
    assert all(cell_len(line) <= width for line in lines)


def test_header_is_printed_once_over_many_chunks() -> None:
    lines = shown([("a", "1", "w", "m")] * 1000, 80)
    assert len(lines) == 1001
    assert sum("name" in line for line in lines) == 1


def test_pipe_gets_every_field_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    table = Rows(COLUMNS)
    table.add("n" * 500, "1", " ".join(["word=1"] * 100), "tab\there\nline")
    table.flush()
    assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [
        ["name", "number", "words", "more"],
        ["n" * 500, "1", " ".join(["word=1"] * 100), r"tab\there\nline"],
    ]


def test_table_without_rows_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Rows(COLUMNS).flush()
    assert not capsys.readouterr().out


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert printable("a\x1b[31mb\x9b\u202ec\n") == r"a\x1b[31mb\x9b\u202ec\n"
    assert printable("Ünï 日本") == "Ünï 日本"


@given(st.lists(st.text(st.sampled_from("ab日"), min_size=1, max_size=9)), st.integers(6, 60))
def test_list_is_cut_between_words_and_counts_the_others(words: list[str], width: int) -> None:
    short = cut_list(" ".join(words), width)
    assert cell_len(short) <= width
    if " +" in short:
        kept, _, more = short.rpartition(" +")
        assert kept.split(" ") == words[: len(words) - int(more)]


def test_text_is_cut_at_its_end() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"


def test_short_flexible_columns_keep_their_width() -> None:
    columns = (Column("a", least=4, flexible=True), Column("b", least=4, flexible=True))
    assert fit(columns, [5, 100], 50) == {0: 5, 1: 41}
    assert fit(columns, [100, 100], 50) == {0: 23, 1: 23}


def test_optional_columns_are_omitted_by_rank() -> None:
    columns = (Column("a", least=20, flexible=True), Column("b", optional=1), Column("c", optional=2))
    assert list(fit(columns, [20, 10, 10], 60)) == [0, 1, 2]
    assert list(fit(columns, [20, 10, 10], 40)) == [0, 1]
    assert list(fit(columns, [20, 10, 10], 25)) == [0]
