"""The synergy surface: image and text fractions move independently of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame, Game
from toolkit.synergy.f_syn import PAPER, second_difference
from toolkit.synergy.ordering import check_attribution, curve_fractions, tie_breaks, top_coalitions
from toolkit.synergy.score import MetricSpec, missing_reason, value_or_nan
from toolkit.synergy.srg import CurveScore, auc
from toolkit.typing import Coalitions, Values

F_SYN_VOLUME = MetricSpec(
    "f-syn-volume",
    1,
    (-2.0, 2.0),
    "probability",
    f"Surface over independent fractions: this toolkit; its diagonal is F_syn of {PAPER}",
    "Volume under the Shapley interaction index of {I_kI, T_kT} over independent fractions of image and text.",
)


@dataclass(frozen=True)
class SynergySurface:
    """Interaction of the top fraction of the image with the top fraction of the text.

    Attributes:
        fractions: Shape (K + 1,): the k of both axes.
        insertion: Shape (K + 1, K + 1), row k_I, column k_T: Harsanyi dividend of {I_kI, T_kT}.
        deletion: Same shape: the same second difference with everybody else present.
        volume: Score whose curve at k_I is the area over k_T, and whose value is the volume.
    """

    fractions: NDArray[np.float64] = field(repr=False)
    insertion: NDArray[np.float64] = field(repr=False)
    deletion: NDArray[np.float64] = field(repr=False)
    volume: CurveScore

    @property
    def mean(self) -> NDArray[np.float64]:
        """Shape (K + 1, K + 1): Shapley interaction index of {I_kI, T_kT} in the game {I_kI, T_kT, rest}."""
        return (self.insertion + self.deletion) / 2

    @property
    def diagonal(self) -> NDArray[np.float64]:
        """Shape (K + 1,): the curve of signed F_syn, where both fractions move together."""
        return np.diagonal(self.mean)


def surface_coalitions(
    attribution: Attribution, steps: int = 10, *, tie_seeds: Sequence[int] | None = None
) -> Coalitions:
    """Coalitions of the surface, shape (n_orders * 2 * (K + 1)^2, n_players): per order, insertion then deletion."""
    fractions = curve_fractions(steps)
    parts = []
    for seed in tie_breaks(attribution, tie_seeds):
        image = top_coalitions(attribution, "image", fractions, tie_seed=seed)
        text = top_coalitions(attribution, "text", fractions, tie_seed=seed)
        grid = (image[:, None] | text[None]).reshape(-1, attribution.players.n)
        parts += [grid, ~grid]
    return np.concatenate(parts)


def read_surface(values: Values, steps: int) -> SynergySurface:
    """The surface from the values of ``surface_coalitions``."""
    fractions = curve_fractions(steps)
    grids = values.reshape(-1, 2, steps + 1, steps + 1)
    sides = second_difference(grids, grids[..., :, :1], grids[..., :1, :], grids[..., :1, :1]).mean(axis=0)
    strips = np.trapezoid(sides, fractions, axis=2)
    curve = strips.mean(axis=0)
    reason = missing_reason(values)
    volume = CurveScore(
        F_SYN_VOLUME, value_or_nan(auc(curve, fractions), reason), fractions, curve, reason=reason,
        insertion=strips[0], deletion=strips[1],
    )  # fmt: skip
    return SynergySurface(fractions, sides[0], sides[1], volume)


def synergy_surface(
    game: Game, attribution: Attribution, steps: int = 10, *, tie_seeds: Sequence[int] | None = None
) -> SynergySurface:
    """Interaction of {I_kI, T_kT} over a grid of independent fractions, and the volume under it.

    insertion(k_I, k_T) = v(I_kI, T_kT) - v(I_kI, 0) - v(B, T_kT) + v(B, 0), the pair's Harsanyi dividend;
    deletion(k_I, k_T) is the same difference of removals from (I, T); their mean is the pair's Shapley interaction
    index in the game {I_kI, T_kT, rest}, and the volume is the mean's integral over [0, 1]^2 (trapezoid).

    One k for both modalities sees synergy only when the slower modality arrives, so a good map of the image is
    hidden behind a bad order of the words, and with few words k_T jumps in coarse steps. Here each modality has its
    own k. Take an AND gate with one evidence player per modality, at ranks p_I and p_T (as fractions): F_syn is
    1 - max(p_I, p_T), the volume is (1 - p_I)(1 - p_T). Best, random and worst orderings thus earn 1, 1/3 and 0 on
    the diagonal, and 1, 1/4 and 0 on the surface, and only the surface still sees an improvement of the better half.
    The point (1, 1), equal for all orderings, weighs 1 / (4 K^2) in the volume against 1 / (2 K) in F_syn.

    2 (K + 1)^2 - 4 distinct coalitions, asked in one call, but only 2 K distinct images.

    Args:
        game: The game.
        attribution: The ordering to judge.
        steps: K.
        tie_seeds: Seeds of the permutations that order equal scores; the surface is their average. None takes as many
            as the ties need.

    Raises:
        TypeError: Not an Attribution.
        ValueError: The attribution explains something else, or the steps or seeds are not valid.
    """
    check_attribution(game, attribution)
    cache = CachedGame(game)
    found = read_surface(cache(surface_coalitions(attribution, steps, tie_seeds=tie_seeds)), steps)
    return replace(found, volume=replace(found.volume, n_evaluations=cache.n_evaluations))
