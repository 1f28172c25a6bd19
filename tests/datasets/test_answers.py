"""Written answers as models write them."""

from __future__ import annotations

import pytest

from toolkit.datasets import parse_answer

YES_NO = ("yes", "no")
FOUR = ("A", "B", "C", "D")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("yes", "yes"),
        ("Yes", "yes"),
        ("NO.", "no"),
        ("Yes, there is a dog in the image.", "yes"),
        ("No, there is no dog.", "no"),
        ("**Yes**", "yes"),
        ("Yes.\n\nThe dog is yes on the left, not no.", "yes"),
        ("Answer: yes", "yes"),
        ("The answer is no.", "no"),
        ("There is no dog in the image.", "no"),
        ("Yesterday it rained.", None),
        ("I cannot know.", None),
        ("It could be yes or no.", None),
        ("", None),
    ],
)
def test_yes_no(text: str, meant: str | None) -> None:
    assert parse_answer(text, YES_NO) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("A", "A"),
        ("b", "B"),
        ("(A)", "A"),
        ("A.", "A"),
        ("C)", "C"),
        ("D: three", "D"),
        ("(B) two dogs", "B"),
        ("B. two dogs", "B"),
        ("a) a red ball", "A"),
        ("Answer: a) a red ball", "A"),
        ("Answer: C", "C"),
        ("The answer is B.", "B"),
        ("The correct answer is (D) none of them.", "D"),
        ("Option C is right.", "C"),
        ("**B**", "B"),
        ("**B.** The cat", "B"),
        ("$\\boxed{D}$", "D"),
        ("The best choice would be option B", "B"),
        ("First I thought the answer is A. Then I looked: the answer is C.", "C"),
        ("I would say B", "B"),
        ("A red ball lies on the table", None),
        ("Either A or B", None),
        ("A is right", "A"),
        ("E", None),
        ("the answer is a red ball", None),
        ("None of these", None),
        ("", None),
    ],
)
def test_letters(text: str, meant: str | None) -> None:
    assert parse_answer(text, FOUR) == meant


def test_the_text_of_an_option_names_its_letter() -> None:
    options = {"A": "red", "B": "dark red", "C": "blue"}
    assert parse_answer("It is blue.", ("A", "B", "C"), options) == "C"
    assert parse_answer("It is dark red.", ("A", "B", "C"), options) is None  # "red" occurs too
    assert parse_answer("It is bluest.", ("A", "B", "C"), options) is None


def test_worded_choices() -> None:
    assert parse_answer("The lemon is yellow.", ("red", "yellow")) == "yellow"
    assert parse_answer("yellow and red", ("red", "yellow")) == "yellow"
    assert parse_answer("It is yellow and red", ("red", "yellow")) is None
