"""Tables in a terminal: aligned, folded, never wider than the window, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.cli.table import footnotes, layout

HEADER = ("name", "size", "what it is")
ROWS = [("alpha", "1", "a short one"), ("a much longer name", "22", "words " * 12 + "end")]


def test_without_a_window_every_row_is_one_line() -> None:
    lines = layout(HEADER, ROWS, None)
    assert lines[0] == "name                size  what it is"
    assert lines[2] == "a much longer name  22    " + "words " * 12 + "end"


def test_the_last_column_is_wrapped_under_itself() -> None:
    lines = layout(HEADER, ROWS, 60)
    assert lines[2].startswith("a much longer name  22    words")
    assert lines[3].startswith(" " * 26 + "words")
    assert max(map(len, lines)) <= 60


def test_columns_that_do_not_fit_go_to_an_indented_line() -> None:
    lines = layout(HEADER, ROWS, 40)
    assert lines[:4] == ["name                size", "  what it is", "alpha               1", "  a short one"]


@given(st.lists(st.tuples(*[st.text("abc ", max_size=12)] * 3), max_size=4), st.integers(40, 120))
def test_no_line_is_too_long_and_no_word_is_lost(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = layout(HEADER, rows, width)
    assert max(map(len, lines)) <= width
    assert " ".join(lines).split() == " ".join(word for row in (HEADER, *rows) for word in row).split()


def test_equal_notes_have_one_mark() -> None:
    assert footnotes(["x", "y", "x"]) == (["[1]", "[2]", "[1]"], ["[1] x", "[2] y"])


@pytest.mark.parametrize(("value", "expected"), [("80", 80), ("10", 40), ("", None), ("wide", None)])
def test_the_width_of_the_window(monkeypatch: pytest.MonkeyPatch, value: str, expected: int | None) -> None:
    from toolkit.cli import table

    monkeypatch.setenv("COLUMNS", value)
    assert table.window_width() == expected
