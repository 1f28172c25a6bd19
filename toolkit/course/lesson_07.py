"""Lesson 07, the full benchmark on a GPU: its quiz, its checkers, and the estimate of what a run costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.course.checks import Case, Verdict, check
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz
from toolkit.datasets.sample import Sample
from toolkit.vlm.protocol import VLM, forget
from toolkit.widgets.run_monitor import coalitions_per_sample

SIZES = {"repope": 4779, "cv-bench": 2638, "mmstar": 1500}

QUESTIONS = (
    Question(
        "A run on Colab is cut off after 12 hours. What should have been done before it started?",
        (
            Option(
                "Put the run's folder on a drive that outlives the machine.",
                "The records are the state: with the folder there, the same command resumes.",
                right=True,
            ),
            Option("Nothing; start again.", "Then the second try is cut off at the same place."),
            Option(
                "Use 4-bit weights so that it finishes.",
                "It changes the numbers: rounding can reach the size of the effects. Use fewer samples instead.",
            ),
        ),
    ),
    Question(
        "Why are the revisions of models and datasets pinned by 40 hexadecimal digits?",
        (
            Option("For speed.", "A pinned download is as slow as any other."),
            Option("Because the licence asks for it.", "Licences do not; reproducibility does."),
            Option(
                "A name can point to other weights tomorrow; then the same command gives other numbers.",
                "The commit is part of every record, and a run refuses to mix two.",
                right=True,
            ),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_hours(function: Callable[..., Any]) -> Verdict:
    """Check ``hours(samples, models, coalitions, per_second)``."""
    cases = [
        Case((3600, 1, 1, 1.0), 1.0, "3600 coalitions at one per second take an hour.", "an hour"),
        Case((100, 3, 652, 50.0), 100 * 3 * 652 / 50 / 3600, "Samples times models times coalitions.", "three models"),
        Case((8917, 3, 652, 20.0), 8917 * 3 * 652 / 20 / 3600, "Divide by the speed, then by 3600.", "the whole grid"),
    ]
    return check(function, cases, tolerance=1e-6, solved="Ask this before a run, not after it.")


@exercise
def check_share(function: Callable[..., Any]) -> Verdict:
    """Check ``samples_for(budget_hours, models, coalitions, per_second)``: whole samples that fit a budget."""
    cases = [
        Case((1.0, 1, 1, 1.0), 3600, "One hour, one coalition per second.", "an hour"),
        Case((1.0, 3, 652, 50.0), 3600 * 50 // (3 * 652), "Round down: half a sample is no sample.", "round down"),
        Case((1.0, 1, 652, 1.0), 5, "3600 / 652 is 5.5: five samples fit, the sixth does not.", "never up"),
        Case((0.0, 1, 76, 10.0), 0, "No time, no samples.", "nothing"),
    ]
    return check(function, cases, solved="With the budget fixed, the number of samples is what gives.")


def speed(vlm: VLM, sample: Sample, *, n: int = 64, seed: int = 0) -> float:
    """Coalitions per second on one sample, measured on n random coalitions, none of which is remembered."""
    forget(vlm)
    game = vlm.game(sample)
    players = game.players
    rng = np.random.default_rng(seed)
    images = rng.random((8, players.n)) < 0.5
    cells = images[rng.integers(8, size=n)] & players.of("image")
    coalitions = cells | (rng.random((n, players.n)) < 0.5) & players.of("text")
    start = time.perf_counter()
    game(coalitions)
    return len(np.unique(coalitions, axis=0)) / (time.perf_counter() - start)


def total_coalitions(spec: BenchmarkSpec) -> int:
    """Coalitions that the default metrics score, over all models and datasets, where no scores are tied.

    Other metrics and explainers' own passes come on top.
    """
    samples = sum(spec.samples if spec.samples is not None else SIZES[dataset] for dataset in spec.datasets)
    return samples * len(spec.models) * coalitions_per_sample(spec)
