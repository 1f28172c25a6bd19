"""A target is written and read back as it was, whatever the answer says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.games.target import Contrast, Sentence, TargetError, Token, Word, read_target, unit_of

ANSWERS = st.text(min_size=1).filter(str.strip)
TARGETS = st.one_of(
    st.builds(Token, ANSWERS, st.integers(1, 99)),
    st.builds(Word, ANSWERS, st.integers(1, 99)),
    st.builds(Sentence, ANSWERS, st.sampled_from(["sum", "mean"])),
    st.builds(Contrast, ANSWERS.map(lambda a: a + "x"), ANSWERS.map(lambda a: a + "y")),
)


@settings(max_examples=30, deadline=None)
@given(TARGETS)
def test_what_is_written_is_read_back(target) -> None:
    assert read_target(str(target)) == target
    assert unit_of(str(target)) == unit_of(target) == ("probability" if isinstance(target, Token | Word) else "nats")


@settings(max_examples=30, deadline=None)
@given(st.text())
def test_any_other_text_is_an_answer(text: str) -> None:
    assert read_target(text) == text
    assert unit_of(text) == "probability"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sentence(" "), "at least one word"),
        (lambda: Token("", 1), "at least one word"),
        (lambda: Word("yes", 0), "counted from 1"),
        (lambda: Word("yes", True), "counted from 1"),
        (lambda: Sentence("yes", "product"), "'sum' or 'mean'"),
        (lambda: Contrast("yes", " yes"), "two different answers"),
        (lambda: read_target('"no" rather than "no"'), "two different answers"),
    ],
)
def test_what_cannot_be_explained_is_refused(make, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        make()
