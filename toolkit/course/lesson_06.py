"""Lesson 06, the benchmark on your laptop: its quiz and its exercise checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import rankdata

from toolkit.course.checks import Case, Verdict, check
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz

QUESTIONS = (
    Question(
        "In a critical-difference diagram a bar joins explainers A and B. What may you write?",
        (
            Option(
                "A and B are equally good.", "The test did not separate them on these pictures. More pictures might."
            ),
            Option(
                "The data do not separate A from B at this level.",
                "Absence of a difference in the test is no proof of equality.",
                right=True,
            ),
            Option(
                "A is better, since it stands further left.",
                "It has the better mean rank here; the bar says that chance alone could do that.",
            ),
        ),
    ),
    Question(
        "10 questions are asked about each of 50 pictures. How many independent observations are there?",
        (
            Option("500.", "Questions about one picture share what the model sees in it."),
            Option("10.", "The pictures differ; each of the 50 brings something new."),
            Option(
                "Closer to 50; resample pictures, not questions.",
                "The toolkit's intervals resample pictures for this reason.",
                right=True,
            ),
        ),
    ),
    Question(
        "The process dies after 70 % of a run. What is lost?",
        (
            Option("Everything.", "Every finished sample was written to disk when it was finished."),
            Option(
                "The sample in progress; the same command goes on with the rest.",
                "A record on disk is never computed again, unless you ask for it.",
                right=True,
            ),
            Option("Nothing, the run continues by itself.", "Somebody has to start it again; then it resumes."),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_mean_ranks(function: Callable[..., Any]) -> Verdict:
    """Check ``mean_ranks(scores)`` of a table (pictures, explainers): 1 for the largest, ties share their mean rank."""
    rng = np.random.default_rng(2)
    table = rng.random((7, 4))
    tied = np.array([[0.5, 0.5, 0.1], [0.3, 0.3, 0.3]])
    cases = [
        Case((np.array([[3.0, 2.0, 1.0]]),), np.array([1.0, 2.0, 3.0]), "The largest score has rank 1.", "one picture"),
        Case((np.array([[3.0, 1.0], [1.0, 3.0]]),), np.array([1.5, 1.5]), "Rank within each row, then average rows."),
        Case((table,), rankdata(-table, axis=1).mean(axis=0), "Try scipy.stats.rankdata.", "random"),
        Case((tied,), np.array([1.75, 1.75, 2.5]), "Equal scores share the mean of their ranks.", "ties"),
    ]
    return check(function, cases, solved="These are the positions in a critical-difference diagram.")


@exercise
def check_cluster_means(function: Callable[..., Any]) -> Verdict:
    """Check ``picture_means(values, images)``: the mean of each picture, in sorted order of the pictures."""
    cases = [
        Case(([1.0, 2.0], ["a", "b"]), [1.0, 2.0], "One value per picture: nothing to average.", "one each"),
        Case(([1.0, 3.0, 5.0], ["a", "a", "b"]), [2.0, 5.0], "The first two belong to picture a.", "two and one"),
        Case(([4.0, 1.0, 2.0], ["b", "a", "b"]), [1.0, 3.0], "Sort by picture name, not by appearance.", "mixed order"),
    ]
    return check(function, cases, solved="A bootstrap over these numbers respects the pictures.")
