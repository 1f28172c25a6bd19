"""What a trained tiny model can do, measured on held-out scenes through the public loading path, and its card."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import CORNERS, Sample
from toolkit.scenes.generator import FAMILIES, drawn_at, load
from toolkit.scenes.partial_bayes import yes_probability
from toolkit.scenes.training.pool import TRAINED_EVERYDAY
from toolkit.scenes.training.recipes import Recipe
from toolkit.scenes.vocabulary import GRID
from toolkit.scenes.world import Scene
from toolkit.vlm.choice_corners import CornerAnswers, choice_corners, choice_values

if TYPE_CHECKING:
    from toolkit.vlm.model import LoadedVLM

SEED = 2605
"""Seed of the held-out samples that the cards report."""

_CHUNK = 100
_BINS = 10
HIDDEN = ("cell", "colour", "kind")
"""What is hidden from existence questions, where the Bayes value is known."""

VISIBLE = ("0", "9", "18", "27", "36")
"""How many random cells are in sight of existence questions, with a random share of the words."""


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
        calibration_error: Inside the game, one random coalition a sample (the first 100 samples): expected calibration
            error of the probabilities of all choices, in ten bins (Guo et al. 2017, arXiv 1706.04599), in [0, 1].
        calibration_by_chance: Its mean if every answer were drawn from the model's own probabilities: what a calibrated
            model shows at this n.
        hidden_distance: Of existence questions, mean |v - Bayes value| with the named thing's cell (where there is
            one), the colour word or the kind word hidden (``toolkit.scenes.partial_bayes``).
        visible_distance: Of existence questions, the same at random coalitions, by number of cells in sight.
        follows_shortcut: Share of questions of which the bag of attributes says yes and the thing is not there that
            are answered yes; NaN where none are asked on purpose (all families but ``binding``).
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
    calibration_error: float = math.nan
    calibration_by_chance: float = math.nan
    hidden_distance: dict[str, float] = field(default_factory=dict)
    visible_distance: dict[str, float] = field(default_factory=dict)
    follows_shortcut: float = math.nan


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
    accuracy, is_binding = float(right.mean()), samples[0].category == "binding"
    yes_to_no = float(1 - right[[answer == "no" for answer in answers]].mean()) if is_binding else math.nan
    return FamilyResult(
        dataset=samples[0].dataset, family=samples[0].category, world=world, n=len(samples), accuracy=accuracy,
        standard_error=math.sqrt(accuracy * (1 - accuracy) / len(samples)), without_image=float(blind.mean()),
        constant=max(answers.count(word) for word in set(answers)) / len(answers),
        follows_prior=float(np.mean(follows)) if follows else math.nan, n_counter_examples=len(follows),
        corner_distance=distance, follows_shortcut=yes_to_no,
    )  # fmt: skip


def calibration_error(chances: Sequence[dict[str, float]], answers: Sequence[str]) -> float:
    """Expected calibration error of all choices' probabilities, in ten bins, in [0, 1].

    Args:
        chances: Per sample, choice -> probability.
        answers: The right choice of each.
    """
    told = np.array([p for by_choice in chances for p in by_choice.values()])
    came = np.array([word == a for by_choice, a in zip(chances, answers, strict=True) for word in by_choice])
    bins = np.minimum((told * _BINS).astype(int), _BINS - 1)
    gaps = [abs((told[bins == b] - came[bins == b]).sum()) for b in range(_BINS)]
    return float(sum(gaps) / len(told))


def _by_chance(chances: Sequence[dict[str, float]], rng: np.random.Generator, n: int = 200) -> float:
    """Mean calibration error if answers came from these probabilities, made to sum to 1."""
    words = [list(by_choice) for by_choice in chances]
    shares = [np.array(list(by_choice.values())) / sum(by_choice.values()) for by_choice in chances]
    drawn = [[str(rng.choice(w, p=p)) for w, p in zip(words, shares, strict=True)] for _ in range(n)]
    return float(np.mean([calibration_error(chances, answers) for answers in drawn]))


def _inside(vlm: LoadedVLM, samples: Sequence[Sample], result: FamilyResult) -> FamilyResult:
    """The result with its calibration at one random coalition a sample: random shares of cells and of words."""
    rng = np.random.default_rng([SEED, len(samples)])
    asked = []
    for sample in samples:
        players = vlm.view(sample).players
        share = np.where(players.of("image"), *rng.random(2))
        asked.append((rng.random(players.n) < share)[None])
    chances = [found[0] for found in choice_values(vlm, samples, asked)]
    error = calibration_error(chances, [str(sample.answer) for sample in samples])
    return replace(result, calibration_error=error, calibration_by_chance=_by_chance(chances, rng))


def _coalitions(sample: Sample, scene: Scene, rng: np.random.Generator) -> NDArray[np.bool_]:
    """One coalition for each of ``HIDDEN`` and ``VISIBLE``; without one thing to hide, ``"cell"`` hides nothing."""
    n_cells, n_words = GRID * GRID, len(sample.question.split())
    whole = np.ones((len(HIDDEN) + len(VISIBLE), n_cells + n_words), dtype=np.bool_)
    colour, kind = sample.question.split()[3:5]
    things = scene.find(colour, kind)
    if len(things) == 1:
        whole[0, things[0].row * GRID + things[0].column] = False
    whole[1, n_cells + 3] = whole[2, n_cells + 4] = False
    for row, n in zip(whole[len(HIDDEN) :], VISIBLE, strict=True):
        row[rng.permutation(n_cells)[int(n) :]] = False
        row[n_cells:] = rng.random(n_words) < rng.random()
    return whole


def _with_bayes(
    vlm: LoadedVLM, samples: Sequence[Sample], scenes: Sequence[Scene], result: FamilyResult
) -> FamilyResult:
    """The result of existence questions with its distances to the Bayes values inside the game."""
    rng = np.random.default_rng([SEED, len(samples), len(VISIBLE)])
    asked = [_coalitions(sample, scene, rng) for sample, scene in zip(samples, scenes, strict=True)]
    found = np.array([[answer["yes"] for answer in answers] for answers in choice_values(vlm, samples, asked)])
    told = np.array([
        [yes_probability(scene, sample.question, row[: GRID * GRID], row[GRID * GRID :]) for row in rows]
        for sample, scene, rows in zip(samples, scenes, asked, strict=True)
    ])  # fmt: skip
    distance = np.abs(found - told)
    distance[[rows[0].all() for rows in asked], 0] = np.nan
    means = np.nanmean(distance, axis=0).tolist()
    return replace(
        result,
        hidden_distance=dict(zip(HIDDEN, means[: len(HIDDEN)], strict=True)),
        visible_distance=dict(zip(VISIBLE, means[len(HIDDEN) :], strict=True)),
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
    inside: int = 100,
    seed: int = SEED,
    report: Callable[[FamilyResult], None] = lambda result: None,
) -> list[FamilyResult]:
    """Ask a model held-out questions of every family, with and without the picture and the words.

    Args:
        vlm: The loaded model.
        recipe: Says whether it is a biased twin, which is also asked in its own, stereotyped world.
        n: Samples per family (per template of a dataset).
        inside: How many of them are asked inside the game too; 0 for none.
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
        for family in dict.fromkeys(sample.category for sample in samples):
            at = [i for i, sample in enumerate(samples) if sample.category == family]
            result = _result([samples[i] for i in at], [corners[i] for i in at], world)
            if inside:
                result = _inside(vlm, [samples[i] for i in at[:inside]], result)
            if inside and family == "existence" and world == "balanced":
                scenes = [drawn_at(i, name, "test", seed=seed, prior_strength=0.0)[0] for i in at[:inside]]
                result = _with_bayes(vlm, [samples[i] for i in at[:inside]], scenes, result)
            report(result)
            results.append(result)
        vlm.engine.forget()
    return results


def calibration(results: Sequence[FamilyResult]) -> float:
    """Mean |v(corner) - Bayes value| over families of the balanced world and the four corners."""
    return float(np.mean([d for r in results if r.world == "balanced" for d in r.corner_distance.values()]))


def table_row(result: FamilyResult) -> tuple[str, ...]:
    """One line of the card's table."""
    followed = f"{100 * result.follows_prior:.1f} ({result.n_counter_examples})" if result.n_counter_examples else ""
    shortcut = "" if math.isnan(result.follows_shortcut) else f"{100 * result.follows_shortcut:.1f}"
    distance = " / ".join(f"{result.corner_distance[corner]:.3f}" for corner in CORNERS)
    return (
        f"{result.dataset} {result.family}", result.world, str(result.n),
        f"{100 * result.accuracy:.1f} ± {100 * result.standard_error:.1f}", f"{100 * result.without_image:.1f}",
        f"{100 * result.constant:.1f}", followed, shortcut, distance,
        f"{result.calibration_error:.3f} ({result.calibration_by_chance:.3f})",
    )  # fmt: skip


HEADER = (
    "questions", "world", "n", "accuracy %", "no picture %", "best constant %", "follows prior % (n)",
    "follows shortcut %", "distance to Bayes (both / image / text / empty)", "inside: calibration error (by chance)",
)  # fmt: skip

INSIDE_HEADER = (*(f"{n} cells in sight" for n in VISIBLE), *(f"{part} hidden" for part in HIDDEN))


def inside_row(results: Sequence[FamilyResult]) -> tuple[str, ...]:
    """The mean distances to the Bayes values inside the game, of existence questions in the balanced world."""
    (one,) = (result for result in results if result.visible_distance)
    return tuple(f"{d:.3f}" for d in (*one.visible_distance.values(), *one.hidden_distance.values()))


def as_json(results: Sequence[FamilyResult]) -> list[dict[str, Any]]:
    """Results as JSON-serialisable rows; an undefined share is None."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(one).items()}
        for one in results
    ]


def read_card_numbers(folder: Path) -> list[dict[str, Any]]:
    """The evaluation rows that a model's card was written from.

    Raises:
        FileNotFoundError: The folder holds no evaluation.
    """
    rows: list[dict[str, Any]] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["families"]
    return rows
