"""Pressing a word shows its map, its question and its numbers, and the stand-in says the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.subjects import make_subject, sample

from toolkit.games.target import TargetError
from toolkit.reporting.explained_answer import summary
from toolkit.widgets import AnswerExplorer

ANSWER = "a red circle"


@pytest.fixture(scope="module")
def explorer() -> AnswerExplorer:
    return AnswerExplorer(make_subject("random-tiny-llava"), replace(sample(1), choices=None), ANSWER)


def test_every_part_is_a_button(explorer) -> None:
    assert [name for name, _ in explorer.part.options] == ["the whole answer", *ANSWER.split()]


def test_pressing_a_word_changes_what_is_lit(explorer) -> None:
    seen = set()
    for number, one in enumerate(explorer.found):
        explorer.part.value = number
        assert summary(one) in explorer.numbers.value
        assert 'aria-live="polite"' in explorer.numbers.value
        assert repr(one.part.text) in explorer.image.words.value.replace("&#x27;", "'")
        seen.add((explorer.image.value, explorer.question.value))
    assert len(seen) == len(explorer.found)


def test_the_stand_in_shows_the_pressed_part_and_all_numbers(explorer) -> None:
    explorer.part.value = 2
    shown = explorer.static()
    assert summary(explorer.found[2]) in shown
    assert all(f"<td>{word}</td>" in shown for word in ANSWER.split())
    assert "defined for probabilities" in shown


def test_an_empty_answer_is_refused(explorer) -> None:
    with pytest.raises(TargetError, match="at least one word"):
        AnswerExplorer(explorer.vlm, explorer.sample, " ")
