"""Sensitivity-n: do the scores of a set of players add up to what removing the set costs?

For random sets S of n players, the correlation between  sum of scores in S  and  v(all) - v(all without S).
1 for an additive game and a complete explainer; the sign matters, the scale does not.

Reference: Ancona et al., 2018, arXiv 1711.06104.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.games.attribution import Attribution
from toolkit.games.game import Game
from toolkit.stats.rank_agreement import mean_and_error
from toolkit.typing import Coalitions, Values
from toolkit.vlm.protocol import VLM


def random_sets(n_players: int, size: int, draws: int, rng: np.random.Generator) -> Coalitions:
    """Distinct-member sets (draws, n_players) of ``size`` players.

    Raises:
        ValueError: The size is not between 1 and n_players - 1.
    """
    if not 1 <= size < n_players:
        raise ValueError(f"sets of {size} players cannot be drawn from {n_players}; expected 1 to {n_players - 1}")
    order = rng.permuted(np.tile(np.arange(n_players), (draws, 1)), axis=1)
    return np.asarray(order < size)


def sensitivity_n(attribution: Attribution, removed: Coalitions, losses: Values) -> float:
    """Pearson correlation of summed scores and losses over the sets; NaN where either is constant."""
    sums = removed.astype(np.float64) @ attribution.scores
    if np.ptp(sums) < 1e-12 or np.ptp(losses) < 1e-12:
        return math.nan
    return float(np.corrcoef(sums, losses)[0, 1])


def losses_of(game: Game, removed: Coalitions) -> Values:
    """v(all) - v(all without S) for each set, (draws,)."""
    everyone = np.ones((1, game.players.n), dtype=np.bool_)
    values = game(np.concatenate([everyone, ~removed]))
    return np.asarray(values[0] - values[1:], dtype=np.float64)


def sensitivity(
    explainers: Sequence[ExplainerLike],
    vlm: VLM,
    samples: Sequence[Sample],
    *,
    fractions: Sequence[float] = (0.1, 0.3, 0.6),
    draws: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Sensitivity-n by explainer and set size; all explainers are judged on the same sets.

    Args:
        explainers: Explainers.
        vlm: The model.
        samples: Samples.
        fractions: Set sizes as fractions of the players, in (0, 1).
        draws: Sets per sample and size.
        seed: Seed of the sets and of the explainers.

    Returns:
        One row per explainer and fraction: ``explainer, fraction, r, r_se, n_samples``.
    """
    names = [get_explainer(explainer).name for explainer in explainers]
    found: dict[tuple[str, float], list[float]] = {(n, f): [] for n in names for f in fractions}
    rng = np.random.default_rng(seed)
    for sample in samples:
        game = vlm.game(sample)
        maps = [explain(explainer, vlm, sample, target=game.target, seed=seed) for explainer in explainers]
        for fraction in fractions:
            size = min(max(1, round(fraction * game.players.n)), game.players.n - 1)
            removed = random_sets(game.players.n, size, draws, rng)
            losses = losses_of(game, removed)
            for name, attribution in zip(names, maps, strict=True):
                found[name, fraction].append(sensitivity_n(attribution, removed, losses))
    rows = [(name, fraction, *mean_and_error(values)) for (name, fraction), values in found.items()]
    return pd.DataFrame(rows, columns=["explainer", "fraction", "r", "r_se", "n_samples"])
