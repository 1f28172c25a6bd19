"""How models are told to answer: styles, texts, and the page that lists them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import toolkit
from toolkit.datasets import instructions
from toolkit.datasets.instructions import STYLES, check_instruction, make_instruction, put_together, wordings_table
from toolkit.registry import UnknownNameError

YES_NO, LETTERS, COLOURS = ("yes", "no"), ("A", "B", "C"), ("red", "blue")
SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


@pytest.mark.parametrize(
    ("style", "choices", "text"),
    [
        ("llava", YES_NO, SHORT),
        ("llava", COLOURS, SHORT),
        ("llava", None, SHORT),
        ("llava", LETTERS, LETTER),
        ("scenes", YES_NO, "answer yes or no"),
        ("scenes", COLOURS, "answer with one word"),
        ("scenes", None, "answer with one word"),
        ("scenes", LETTERS, "answer with the letter"),
        ("mmstar", LETTERS, LETTER.removesuffix(".")),
        ("pope", YES_NO, SHORT),
        ("by-model", LETTERS, None),
        ("", LETTERS, ""),
        ("Say it loud.", LETTERS, "Say it loud."),
    ],
)
def test_the_wording_fits_the_choices(style: str, choices: tuple[str, ...] | None, text: str | None) -> None:
    assert make_instruction(style, choices) == text


def test_every_style_has_one_wording_for_every_kind_of_choices() -> None:
    for style in STYLES:
        for choices in (YES_NO, LETTERS, COLOURS):
            assert style == "by-model" or make_instruction(style, choices)


def test_a_style_that_lists_the_choices_needs_some() -> None:
    assert "respond with A, B, C without" in str(make_instruction("cv-bench", LETTERS))
    with pytest.raises(ValueError, match="'cv-bench' lists the choices, and this question has none"):
        make_instruction("cv-bench", None)


def test_one_word_is_a_style_and_not_a_text() -> None:
    with pytest.raises(UnknownNameError, match="unknown style of instruction .*'mmstr'. Did you mean 'mmstar'"):
        check_instruction("mmstr")
    with pytest.raises(ValueError, match="the question in 2 places"):
        check_instruction("{question} and {question}")
    with pytest.raises(ValueError, match="must be text, got int"):
        check_instruction(3)  # type: ignore[arg-type]


def test_the_question_stands_where_the_instruction_says() -> None:
    assert put_together("is it ?", "") == ("is it ?", 0)
    assert put_together("is it ?", "say so") == ("is it ?\nsay so", 0)
    text, start = put_together("is it ?", "Note:\n{question} Now!")
    assert text == "Note:\nis it ? Now!"
    assert text[start:].startswith("is it ?")


def test_samples_of_any_dataset_take_another_instruction() -> None:
    (own,) = toolkit.load_samples("scenes-choice", n=1)
    (other,) = toolkit.load_samples("scenes-choice", n=1, instruction="llava")
    (left_out,) = toolkit.load_samples("scenes-choice", n=1, instruction="")
    assert (own.instruction, other.instruction, left_out.instruction) == ("answer with the letter", LETTER, "")
    assert own.question == other.question
    with pytest.raises(UnknownNameError, match="Did you mean 'scenes'"):
        toolkit.load_samples("scenes-choice", n=1, instruction="scene")


def test_the_page_lists_what_the_code_says() -> None:
    page = Path(instructions.__file__).with_name("DATASETS.md").read_text(encoding="utf-8")
    assert wordings_table() in page


def test_the_scenes_keep_their_own_wordings() -> None:
    for name in ("scenes-existence", "scenes-choice", "scenes-mixed", "scenes-everyday"):
        for sample in toolkit.load_samples(name, n=4):
            assert sample.instruction == make_instruction("scenes", sample.choices)


def test_instructions_need_no_torch() -> None:
    code = "import sys, toolkit.datasets.instructions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
