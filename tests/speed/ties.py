"""How exact a mean over orders of tied players is, and what it costs: four turns of a permutation, or independent ones.

The truth is the mean over all orders that are drawn. A score's error is its root mean square distance from it, over
samples and over draws of the same number of orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.speed.workload import scene_samples
from toolkit.audit.metrics.study import controls_of
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame, Game
from toolkit.synergy.f_syn import synergistic_faithfulness, synergy_coalitions
from toolkit.synergy.ordering import TURNS
from toolkit.synergy.srg import insertion_deletion, insertion_deletion_coalitions
from toolkit.vlm.model import LoadedVLM

Report = Callable[[str], None]
KINDS = ("oracle", "anti-oracle", "constant", "image-only")
SCORES = ("f-syn-interior", "srg-image", "srg-text")
N_DRAWS = 8
DESIGNS: dict[str, tuple[int, ...]] = {
    "four turns": tuple(range(TURNS)),
    "two permutations and their turns": tuple(range(2 * TURNS)),
    "four independent": tuple(range(0, 4 * TURNS, TURNS)),
    "sixteen independent": tuple(range(0, 16 * TURNS, TURNS)),
}
"""Seeds of one draw; the next draw takes the permutations behind them."""


def _coalitions(attribution: Attribution, seeds: Sequence[int]) -> Any:
    both = [insertion_deletion_coalitions(attribution, m, tie_seeds=seeds) for m in ("image", "text")]
    return np.concatenate([synergy_coalitions(attribution, tie_seeds=seeds), *both])


def _scores(game: Game, attribution: Attribution, seeds: Sequence[int]) -> list[float]:
    image, text = (insertion_deletion(game, attribution, modality=m, tie_seeds=seeds) for m in ("image", "text"))
    whole = synergistic_faithfulness(game, attribution, tie_seeds=seeds)
    return [whole.interior.value, image.srg.value, text.srg.value]


def tie_rows(vlm: LoadedVLM, *, samples: int, draws: int = N_DRAWS) -> list[dict[str, Any]]:
    """A row per control with ties and design of the orders: evaluations of one draw, and the error of each score."""
    errors: dict[tuple[str, str], list[list[float]]] = {}
    evaluations: dict[tuple[str, str], list[int]] = {}
    for sample in scene_samples(samples):
        game = CachedGame(vlm.game(sample))
        for control in controls_of(vlm, sample, KINDS, seed=0):
            every = tuple(range(16 * TURNS * draws))
            game(_coalitions(control, every))
            truth = np.array(_scores(game, control, every))
            for design, seeds in DESIGNS.items():
                step = -(-(max(seeds) + 1) // TURNS) * TURNS
                drawn = [tuple(seed + draw * step for seed in seeds) for draw in range(draws)]
                found = np.array([_scores(game, control, one) for one in drawn])
                errors.setdefault((control.explainer, design), []).extend((found - truth).tolist())
                counted = [len(np.unique(_coalitions(control, one), axis=0)) for one in drawn]
                evaluations.setdefault((control.explainer, design), []).extend(counted)
    return [
        {"model": vlm.name, "map": kind, "orders": design, "evaluations": float(np.mean(evaluations[kind, design]))}
        | dict(zip(SCORES, np.sqrt((np.array(rows) ** 2).mean(axis=0)).tolist(), strict=True))
        for (kind, design), rows in errors.items()
    ]


def bench(models: Sequence[LoadedVLM], *, quick: bool, report: Report) -> list[dict[str, Any]]:
    """Rows of every model."""
    rows = []
    for vlm in models:
        report(f"{vlm.name}: orders of ties")
        rows += tie_rows(vlm, samples=1 if quick else 3, draws=2 if quick else N_DRAWS)
    return rows
