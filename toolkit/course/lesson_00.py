"""Lesson 00, start here: its quiz and its exercise checker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from toolkit.course.checks import Case, Verdict, check
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz

QUESTIONS = (
    Question(
        "What are the players of the game that a model plays on a sample?",
        (
            Option(
                "The pixels of the picture.",
                "Too fine. A pixel alone means nothing; the model itself cuts the picture into cells.",
            ),
            Option(
                "The cells of the picture and the words of the question.",
                "One player per image token of the model and one per question token that may be removed.",
                right=True,
            ),
            Option(
                "All tokens that enter the model.",
                "Not all. The template and the instruction 'answer yes or no' are always there and never removed.",
            ),
        ),
    ),
    Question(
        "Why use a drawn world instead of photographs in a course about explanations?",
        (
            Option(
                "Because the truth is known: which cells and words decide the answer, and how likely each answer is.",
                "On a photograph nobody can say whether an explanation is right; here the generator knows.",
                right=True,
            ),
            Option(
                "Because small models cannot see.",
                "They see these pictures well. They would not see photographs well, but that is not the reason.",
            ),
            Option(
                "Because results on drawings carry over to photographs.",
                "They may not. What carries over is the method: a metric that fails here has no excuse elsewhere.",
            ),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


def share_right(given: Sequence[str], right: Sequence[str]) -> float:
    """Share of given answers that are right, between 0 and 1.

    Raises:
        ValueError: Not as many given answers as right ones, or none.
    """
    if len(given) != len(right) or not right:
        raise ValueError(f"expected as many given answers as right ones, at least one; got {len(given)}, {len(right)}")
    return sum(a == b for a, b in zip(given, right, strict=True)) / len(right)


@exercise
def check_accuracy(function: Callable[..., Any]) -> Verdict:
    """Check ``accuracy(given, right)``: share of equal answers."""
    cases = [
        Case(
            (["yes", "no"], ["yes", "no"]),
            1.0,
            "All answers are right: the share is 1. A share lies between 0 and 1.",
            "all right",
        ),
        Case((["yes", "no"], ["no", "yes"]), 0.0, "No answer is right: the share is 0.", "all wrong"),
        Case(
            (["A", "B", "C", "A"], ["A", "B", "D", "A"]),
            0.75,
            "Three of four answers are right. Divide the number of equal pairs by the number of pairs.",
            "three of four",
        ),
    ]
    return check(function, cases, solved="Every accuracy of this course is this number.")
