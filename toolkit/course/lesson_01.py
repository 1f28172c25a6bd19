"""Lesson 01, evaluation collapse: its quiz and its exercise checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolkit.course.checks import Case, Verdict, check
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz

QUESTIONS = (
    Question(
        "The deletion curve of the picture is flat: removing any cells changes nothing. What may you conclude?",
        (
            Option(
                "The explainer is bad.",
                "Every order of the cells would give this flat line, a perfect one too. A flat curve says something "
                "about the model and the question, and nothing about the explainer.",
            ),
            Option(
                "The model cannot see.",
                "Too strong. The same model may use the picture as soon as the words leave the answer open, and a "
                "redundant picture also gives a flat curve.",
            ),
            Option(
                "The answer does not need the picture while the words are there.",
                "The words suffice, so no order of the cells can be better than another.",
                right=True,
            ),
        ),
    ),
    Question(
        "Nine explainers are ranked by two metrics. Kendall's tau between the rankings is -0.06, with p = 0.92. "
        "What does this show?",
        (
            Option(
                "The metrics contradict each other.",
                "A contradiction would be a tau near -1. Here 17 pairs agree and 19 disagree: a coin would do that.",
            ),
            Option(
                "The rankings are unrelated, as far as nine explainers can tell.",
                "With nine explainers even a true tau of 0.4 would often go unnoticed, so the interval "
                "belongs beside the number.",
                right=True,
            ),
            Option(
                "The metrics measure the same thing, with noise.",
                "Then tau should be clearly positive. It is not, although such few explainers cannot rule it out.",
            ),
        ),
    ),
    Question(
        "Why is the other modality left intact while the cells of the picture are removed?",
        (
            Option(
                "Because the model cannot run without words.",
                "It can: removed words are masked from attention. The corner without words is one of the four that the "
                "synergy needs.",
            ),
            Option("To make the metric cheaper.", "One forward pass costs the same either way."),
            Option(
                "To see the picture's own part of the answer.",
                "That is the intention, and it goes wrong: with the words intact, the picture's part may be hidden, "
                "since the words can stand in for it.",
                right=True,
            ),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_relevance_gain(function: Callable[..., Any]) -> Verdict:
    """Check ``relevance_gain(insertion, deletion, fractions)``: area of insertion minus area of deletion."""
    k = np.linspace(0, 1, 5)
    rng = np.random.default_rng(1)
    up, down = rng.random(5), rng.random(5)
    uneven = np.array([0.0, 0.1, 0.5, 0.7, 1.0])
    cases = [
        Case(
            (np.ones(5), np.zeros(5), k),
            1.0,
            "The area under insertion is 1, the area under deletion 0; np.trapezoid(curve, fractions) gives one area.",
            "the best case",
        ),
        Case(
            (np.zeros(5), np.ones(5), k),
            -1.0,
            "An explainer that ranks everything the wrong way round earns -1: keep the sign.",
            "the worst case",
        ),
        Case((up, up, k), 0.0, "Equal curves enclose no area: subtract the area of deletion.", "two equal curves"),
        Case((k, 1 - k, k), 0.0, "A rising and a falling diagonal have the same area below them.", "two diagonals"),
        Case(
            (up, down, k),
            float(np.trapezoid(up, k) - np.trapezoid(down, k)),
            "Use the trapezoid rule, np.trapezoid(curve, fractions): the mean of the points counts the ends too much.",
            "random curves",
        ),
        Case(
            (up, down, uneven),
            float(np.trapezoid(up - down, uneven)),
            "The steps need not be equally wide: give the fractions to np.trapezoid.",
            "steps of different width",
        ),
    ]
    return check(function, cases, solved="This is the symmetric relevance gain that the toolkit computes.")


@exercise
def check_kendall(function: Callable[..., Any]) -> Verdict:
    """Check ``kendall(first, second)``: agreeing minus disagreeing pairs over all pairs, without ties."""
    a = [0.1, 0.4, 0.3, 0.9]
    cases = [
        Case(
            (a, a),
            1.0,
            "All pairs agree: tau is +1. Count each pair once, and divide by the number of pairs.",
            "a ranking and itself",
        ),
        Case((a, [-x for x in a]), -1.0, "All pairs disagree: tau is -1.", "a ranking and its reverse"),
        Case(
            ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]),
            1 / 3,
            "Of the three pairs two agree and one disagrees.",
            "one pair swapped",
        ),
        Case(
            ([3.0, 1.0, 2.0, 5.0], [1.0, 2.0, 30.0, 4.0]),
            0.0,
            "Only the order counts, not how far apart the numbers are: compare signs of differences.",
            "numbers of very different size",
        ),
    ]
    return check(function, cases, solved="Kendall's tau counts pairs; that is all there is to it.")
