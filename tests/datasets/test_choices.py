"""Written answers as models write them."""

from __future__ import annotations

import pytest

from toolkit.datasets import parse_answer
from toolkit.datasets.letters import LETTERS

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
        ("Yes!", "yes"),
        ("yes, it is", "yes"),
        ("'No'", "no"),
        ("<answer>no</answer>", "no"),
        ("Final answer: Yes", "yes"),
        ("Answer: **No**.", "no"),
        ("Yeah, I think so.", "yes"),
        ("Nope.", "no"),
        ("True", "yes"),
        ("False.", "no"),
        ("Correct, a dog is on the left.", "yes"),
        ("Incorrect.", "no"),
        ("There is a dog in the image.", "yes"),
        ("There are two dogs.", "yes"),
        ("The image shows a dog.", "yes"),
        ("There isn't a dog in the image.", "no"),
        ("There isn\u2019t any dog.", "no"),
        ("The image does not contain a dog.", "no"),
        ("I don't see a dog.", "no"),
        ("It is not clear whether there is a dog.", None),
        ("I can't tell if there is a dog.", None),
        ("I'm not sure, but there is no way to say.", None),
        ("Unclear", None),
        ("A dog", None),
        ("Yes and no.", "yes"),
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
        ("[A]", "A"),
        ("<C>", "C"),
        ("{B}", "B"),
        ("\uff08b\uff09", "B"),
        ("A\n\nBecause it is red.", "A"),
        ("A - two dogs", "A"),
        ("D \u2013 two dogs", "D"),
        ("A, because the ball is red", "A"),
        ("A because the ball is red", "A"),
        ("**Answer:** B", "B"),
        ("**Answer: B**", "B"),
        ("Answer: **B**", "B"),
        ("ANSWER B", "B"),
        ("Ans: c", "C"),
        ("<answer>B</answer>", "B"),
        ("Final answer: A", "A"),
        ("The correct option is: C", "C"),
        ("The correct answer is option D: blue.", "D"),
        ("The correct answer is:\n\nC. blue", "C"),
        ("$\\boxed{\\text{B}}$", "B"),
        ("A and C come close, so $\\boxed{\\text{B}}$", "B"),
        ("I choose C.", "C"),
        ("I'd go with D.", "D"),
        ("It's B", "B"),
        ("\u7b54\u6848\uff1aB", "B"),
        ("\u7b54\u6848\u662fC\u3002", "C"),
        ("(A) and (B)", None),
        ("A, B and C", None),
        ("(A) A red ball", "A"),
        ("Both A and C", None),
        ("Neither A nor B", None),
        ("The answer is not A.", None),
        ("It is not A, but B.", "B"),
        ("C rather than D", "C"),
        ("A. red\nB. blue\nC. green\nD. black", None),
        ("A. red\nB. blue\nC. green\nThe answer is B.", "B"),
        ("Let me think. A dog has four legs. Option A is wrong. So the answer is (D).", "D"),
        ("Option A is wrong, B.", "B"),
        ("A is wrong", None),
        ("A) is incorrect. The answer is B", "B"),
        ("A: wrong. B: right", "B"),
        ("The answer is A. Option B is wrong.", "A"),
        ("A and C are wrong, so D", "D"),
        ("A isn't correct; C", "C"),
        ("We can rule out A. So B.", "B"),
        ("A can be ruled out, B", "B"),
        ("A cannot be right. D", "D"),
        ("A. It is not red", "A"),
        ("B. not red", "B"),
        ("C. false colours", "C"),
        ("A (not B)", "A"),
        ("B is not only nice but right", "B"),
        ("Vitamin A", None),
        ("It shows vitamin B.", None),
        ("Hepatitis B: a virus", None),
        ("A. A. Milne", None),
        ("The answer cannot be determined.", None),
        ("I'm sorry, I can't help with that.", None),
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
    assert parse_answer("It is not C (blue).", ("A", "B", "C"), options) is None


def test_letters_in_the_text_of_an_option_are_not_answers() -> None:
    options = {"A": "Vitamin C", "B": "vitamin A", "C": "Group D", "D": "zinc"}
    assert parse_answer("It is vitamin A.", FOUR, options) == "B"
    assert parse_answer("Group D", FOUR, options) == "C"
    assert parse_answer("D", FOUR, options) == "D"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("J. K. Rowling", None),
        ("It is J. K. Rowling", None),
        ("A. J. K. Rowling", "A"),
        ("I think J", "J"),
        ("Z.", "Z"),
        ("The answer is (M)", "M"),
        ("Option A is wrong, K.", "K"),
    ],
)
def test_of_twenty_six_letters(text: str, meant: str | None) -> None:
    assert parse_answer(text, tuple(LETTERS)) == meant


def test_worded_choices() -> None:
    assert parse_answer("The lemon is yellow.", ("red", "yellow")) == "yellow"
    assert parse_answer("yellow and red", ("red", "yellow")) == "yellow"
    assert parse_answer("It is yellow and red", ("red", "yellow")) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("It is a red circle.", "red circle"),
        ("a red one", "red"),
        ("The red circle is red.", None),
        ("It is a dark red circle, I think", "dark red circle"),
    ],
)
def test_a_choice_within_a_longer_one_is_not_a_choice_of_its_own(text: str, meant: str | None) -> None:
    assert parse_answer(text, ("red", "red circle", "dark red circle")) == meant
