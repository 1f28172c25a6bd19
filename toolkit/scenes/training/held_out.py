"""What a trained tiny model can do, measured on held-out scenes through the public loading path, and its card."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.scenes.generator import FAMILIES, load
from toolkit.scenes.training.pool import TRAINED_EVERYDAY
from toolkit.scenes.training.recipes import Recipe
from toolkit.vlm.choice_corners import CORNERS, CornerAnswers, choice_corners

if TYPE_CHECKING:
    from toolkit.vlm.model import LoadedVLM

SEED = 2605
"""Seed of the held-out samples that the cards report."""

_CHUNK = 100


@dataclass(frozen=True)
class FamilyResult:
    """One question family, on ``n`` held-out samples of the test split.

    Attributes:
        dataset, family: What was asked.
        world: ``"balanced"``, or ``"stereotyped"``: prior strength 1, questions that have a stereotype.
        n: Samples.
        accuracy: Share of right answers, in [0, 1].
        standard_error: Binomial standard error sqrt(a (1 - a) / n) of the accuracy.
        without_image: Accuracy when the whole picture is replaced by the blur baseline.
        constant: Accuracy of the best constant answer on these samples.
        follows_prior: Share of counter-examples (the prior says otherwise) answered as the prior says; NaN if none.
        n_counter_examples: How many those are.
        corner_distance: Mean |v(corner) - Bayes value| per corner, of the right answer's probability.
    """

    dataset: str
    family: str
    world: str
    n: int
    accuracy: float
    standard_error: float
    without_image: float
    constant: float
    follows_prior: float
    n_counter_examples: int
    corner_distance: dict[str, float]


def _best(answers: dict[str, float]) -> str:
    return max(answers, key=lambda word: answers[word])


def _result(samples: Sequence[Sample], corners: Sequence[CornerAnswers], world: str) -> FamilyResult:
    right = np.array([_best(c["both"]) == s.answer for s, c in zip(samples, corners, strict=True)])
    blind = np.array([_best(c["text"]) == s.answer for s, c in zip(samples, corners, strict=True)])
    answers = [str(sample.answer) for sample in samples]
    follows, distance = [], {corner: 0.0 for corner in CORNERS}
    for sample, corner in zip(samples, corners, strict=True):
        truth = sample.truth
        if truth is None:
            raise ValueError(f"sample {sample.id!r} has no ground truth")
        if truth.prior_answer is not None and truth.prior_answer != sample.answer:
            follows.append(_best(corner["both"]) == truth.prior_answer)
        for name in CORNERS:
            distance[name] += abs(corner[name][str(sample.answer)] - getattr(truth.bayes, name)) / len(samples)
    accuracy = float(right.mean())
    return FamilyResult(
        dataset=samples[0].dataset,
        family=samples[0].category,
        world=world,
        n=len(samples),
        accuracy=accuracy,
        standard_error=math.sqrt(accuracy * (1 - accuracy) / len(samples)),
        without_image=float(blind.mean()),
        constant=max(answers.count(word) for word in set(answers)) / len(answers),
        follows_prior=float(np.mean(follows)) if follows else math.nan,
        n_counter_examples=len(follows),
        corner_distance=distance,
    )


def _worlds(strength: float) -> list[tuple[str, str, float | None]]:
    balanced: list[tuple[str, str, float | None]] = [
        (name, "balanced", TRAINED_EVERYDAY if name == "scenes-everyday" else None) for name in FAMILIES
    ]
    if strength == 0:
        return balanced
    stereotyped = ("scenes-existence", "scenes-choice", "scenes-everyday")
    return balanced + [(name, "stereotyped", 1.0) for name in stereotyped]


def evaluate(
    vlm: LoadedVLM,
    recipe: Recipe,
    *,
    n: int = 400,
    seed: int = SEED,
    report: Callable[[FamilyResult], None] = lambda result: None,
) -> list[FamilyResult]:
    """Ask a model held-out questions of every family, with and without the picture and the words.

    Args:
        vlm: The loaded model.
        recipe: Says whether it is a biased twin, which is also asked in its own, stereotyped world.
        n: Samples per family (per template of a dataset).
        seed: Seed of the samples.
        report: Called with each family's result.

    Returns:
        One result per family and world.
    """
    results = []
    for name, world, strength in _worlds(recipe.strength):
        samples = load(name, "test", n * len(FAMILIES[name]), seed=seed, prior_strength=strength)
        if world == "stereotyped":
            samples = [s for s in samples if s.truth is not None and s.truth.prior_answer is not None]
        chunks = [samples[i : i + _CHUNK] for i in range(0, len(samples), _CHUNK)]
        corners = [corner for chunk in chunks for corner in choice_corners(vlm, chunk)]
        vlm.engine.forget()
        for family in dict.fromkeys(sample.category for sample in samples):
            at = [i for i, sample in enumerate(samples) if sample.category == family]
            result = _result([samples[i] for i in at], [corners[i] for i in at], world)
            report(result)
            results.append(result)
    return results


def calibration(results: Sequence[FamilyResult]) -> float:
    """Mean |v(corner) - Bayes value| over families of the balanced world and the four corners."""
    return float(np.mean([d for r in results if r.world == "balanced" for d in r.corner_distance.values()]))


def table_row(result: FamilyResult) -> tuple[str, ...]:
    """One line of the card's table."""
    followed = ""
    if result.n_counter_examples:
        followed = f"{100 * result.follows_prior:.1f} ({result.n_counter_examples})"
    distance = " / ".join(f"{result.corner_distance[corner]:.3f}" for corner in CORNERS)
    return (
        f"{result.dataset} {result.family}",
        result.world,
        str(result.n),
        f"{100 * result.accuracy:.1f} ± {100 * result.standard_error:.1f}",
        f"{100 * result.without_image:.1f}",
        f"{100 * result.constant:.1f}",
        followed,
        distance,
    )


HEADER = (
    "questions", "world", "n", "accuracy %", "no picture %", "best constant %", "follows prior % (n)",
    "distance to Bayes (both / image / text / empty)",
)  # fmt: skip


def as_json(results: Sequence[FamilyResult]) -> list[dict[str, Any]]:
    """Results as JSON-serialisable rows; an undefined share is None."""
    rows = [asdict(result) for result in results]
    for row in rows:
        row["follows_prior"] = None if math.isnan(row["follows_prior"]) else row["follows_prior"]
    return rows


def read_card_numbers(folder: Path) -> list[dict[str, Any]]:
    """The evaluation rows that a model's card was written from.

    Raises:
        FileNotFoundError: The folder holds no evaluation.
    """
    import json

    rows: list[dict[str, Any]] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["families"]
    return rows
