"""Lesson 02, redundancy: its quiz and its exercise checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolkit.course.checks import Case, Verdict, check
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz

QUESTIONS = (
    Question(
        "A lone lemon in the picture is yellow, and nearly all lemons in this world are. "
        "'What color is the lemon ?' Which gate is this?",
        (
            Option(
                "Redundancy (OR).",
                "Either part suffices; the second adds nothing to the first, and the dividend is negative.",
                right=True,
            ),
            Option(
                "Synergy (AND).",
                "AND needs both parts. Here the words alone give the answer, and so does the picture alone.",
            ),
            Option(
                "Text only.",
                "Close, but a look at the lone lemon also gives the answer without any words. With several things in "
                "the picture it would be text only.",
            ),
        ),
    ),
    Question(
        "A model answers 90 % of balanced questions rightly with the picture removed. What went wrong?",
        (
            Option(
                "Nothing, it is a good model.",
                "It cannot know what it does not see. On balanced questions nobody beats chance without the picture.",
            ),
            Option(
                "The model has learned the language prior.",
                "On balanced questions there is no prior to learn: every answer is equally likely given the words.",
            ),
            Option(
                "The questions are not balanced, or the picture is not really removed.",
                "A leak in the words or a baseline that leaves the picture recognisable: check both.",
                right=True,
            ),
        ),
    ),
    Question(
        "The mean dividend of a dataset is 0. May you say that picture and words do not interact?",
        (
            Option(
                "Yes, the mean says so.",
                "Half of the samples could be synergy and half redundancy: +1 and -1 have the mean 0.",
            ),
            Option(
                "No; look at the distribution over samples.",
                "Signed numbers can cancel, which is why the report shows samples by gate as well.",
                right=True,
            ),
            Option(
                "No, because dividends are always positive.",
                "They are not: redundancy is negative, and that sign is the finding.",
            ),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_gate(function: Callable[..., Any]) -> Verdict:
    """Check ``gate(both, image, text, empty)``: the name of the largest part."""
    cases = [
        Case((1.0, 0.5, 0.5, 0.5), "synergy", "Neither gains alone; the dividend is +0.5.", "needs both"),
        Case((1.0, 1.0, 1.0, 0.5), "redundancy", "a = b = 0.5 and d = -0.5, so r = 0.5: nothing else is left."),
        Case((1.0, 0.5, 1.0, 0.5), "text-only", "d = 0; the words move the value, the picture does not."),
        Case((1.0, 1.0, 0.5, 0.5), "image-only", "d = 0; the picture moves the value, the words do not."),
        Case((0.0, 1.0, 1.0, 0.0), "interference", "XOR: both together keep nothing, so r = 0 and d = -2."),
        Case((1.0, 1.0, 0.5, 0.0), "redundancy", "a = 1, b = 0.5, d = -0.5: r = 0.5, and as much is left of a; of "
             "equal parts the first in the list names the gate."),
        Case((1.0, 1.0, 0.5, 0.25), "image-only", "a = 0.75, b = 0.25, d = -0.25: r = 0.25 is less than the rest of "
             "a, 0.5. A negative dividend alone is no redundancy gate."),
        Case((0.25, 0.75, 0.25, 0.75), "text-only", "The words cost 0.5, and the picture moves nothing: size counts."),
    ]  # fmt: skip
    return check(function, cases, solved="This is how the generator and the report name the gate of every sample.")


@exercise
def check_excess(function: Callable[..., Any]) -> Verdict:
    """Check ``excess_over_guessing(right_without_picture, n_choices)``."""
    cases = [
        Case(([1, 0, 1, 0], 2), 0.0, "Half right with two choices is guessing: 0.", "a coin"),
        Case(([1, 1, 1, 1], 2), 0.5, "All right with two choices: 1 - 1/2.", "always right"),
        Case(([1, 0, 0, 0], 4), 0.0, "One of four right with four choices is guessing.", "four choices"),
        Case(([1, 1, 0, 0], 4), 0.25, "Subtract 1 / n_choices from the share of right answers.", "a little"),
    ]
    return check(function, cases, solved="A number above 0 means: the words alone give something away.")
