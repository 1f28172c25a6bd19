"""A corrected score on the surface: recovered synergy with a separate fraction for each modality.

The derivation, with its limits, is in ``toolkit/audit/metrics/CORRECTED_SCORE.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.games.attribution import Attribution
from toolkit.games.game import Game
from toolkit.synergy.f_syn import PAPER
from toolkit.synergy.gain import N_RANDOM
from toolkit.synergy.interaction_sign import N_SIGN, InteractionSign, read_sign, sign_coalitions
from toolkit.synergy.ordering import check_attribution, reference_orderings
from toolkit.synergy.score import MetricSpec, ask_and_read, missing_reason, value_or_nan
from toolkit.synergy.srg import CurveScore
from toolkit.synergy.surface import SynergySurface, read_surface, surface_coalitions
from toolkit.typing import Coalitions, Values

SURFACE_RECOVERED = MetricSpec(
    "synergy-surface-recovered",
    1,
    (-4.0, 4.0),
    "probability",
    f"Signed F_syn after {PAPER}; surface, difference to random orderings and sign: this toolkit",
    "Mean interaction over independent interior fractions of image and text, minus that of random orderings of the "
    "same sample, times the sign of the sample's interaction.",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class RecoveredScore(CurveScore):
    """Recovered synergy with what it was made from.

    Attributes:
        own: Mean of the surface over interior fractions, for the judged ordering.
        random: The same for random orderings.
        standard_error: Of ``random`` over pairs of random orderings.
        interaction: Whether the sample's interaction is synergy or redundancy.
    """

    own: float
    random: float
    standard_error: float
    interaction: InteractionSign


def recovered_coalitions(
    attribution: Attribution, steps: int = 10, *, n_random: int = N_RANDOM, seed: int = 0,
    tie_seeds: Sequence[int] | None = None,
) -> Coalitions:  # fmt: skip
    """Coalitions of the score: the attribution's surface, then each random ordering's, then those of the sign."""
    if steps < 2 or n_random < 4:
        raise ValueError(f"needs at least 2 steps and 4 random orderings, got {steps} and {n_random}")
    draws = reference_orderings(attribution.players, n_random, seed)
    own = surface_coalitions(attribution, steps, tie_seeds=tie_seeds)
    sign = sign_coalitions(attribution.players, seed=seed)
    return np.concatenate([own, *(surface_coalitions(draw, steps) for draw in draws), sign])


def _interior(surface: SynergySurface) -> float:
    return float(surface.mean[1:-1, 1:-1].mean())


def _beyond(own: NDArray[np.float64], others: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Interior rows of a surface less those of other orderings, averaged over the text's fractions; (K - 1,)."""
    difference: NDArray[np.float64] = (own - np.mean(others, axis=0))[1:-1, 1:-1].mean(axis=1)
    return difference


def recovered_synergy(
    game: Game, attribution: Attribution, steps: int = 10, *, n_random: int = N_RANDOM, seed: int = 0,
    tie_seeds: Sequence[int] | None = None,
) -> RecoveredScore:  # fmt: skip
    """Recovered synergy r = sign (mean over interior (k_I, k_T) of s(attribution) - the same of random orderings).

    s(k_I, k_T) is the Shapley interaction index of {I_kI, T_kT} in the game {I_kI, T_kT, rest}. Interior fractions
    leave out everything that is equal for all orderings; random orderings of the same sample take away what an
    uninformative map earns; the sign, read inside by another draw of orderings, lets a redundant sample reward the map
    that finds its redundancy; independent fractions let an improvement in one modality show even if the other is slow.

    Args:
        game: The game.
        attribution: The ordering to judge.
        steps: K, at least 2.
        n_random: Random orderings, in antithetic pairs; even and at least 4.
        seed: Their seed.
        tie_seeds: Seeds of the permutations that order equal scores; None takes as many as the ties need.

    Returns:
        The score; unscored where the interaction is exactly 0, or where corners and interior contradict each other
        about its sign (``toolkit.synergy.interaction_sign``).

    Raises:
        TypeError: Not an Attribution.
        ValueError: The attribution explains something else, fewer than 2 steps, or n_random odd or below 4.

    Reference: arXiv 2605.22168 for F_syn; limits of pairwise scores: arXiv 2606.19410.
    """
    check_attribution(game, attribution)
    asked = recovered_coalitions(attribution, steps, n_random=n_random, seed=seed, tie_seeds=tie_seeds)
    return ask_and_read(
        game, asked, lambda values: read_recovered(values, steps, n_random=n_random), attribution.target
    )


def read_recovered(values: Values, steps: int, *, n_random: int = N_RANDOM) -> RecoveredScore:
    """The score from the values of ``recovered_coalitions``."""
    asked = values[: -4 * N_SIGN].reshape(-1, 2 * (steps + 1) ** 2)
    surface = read_surface(asked[:-n_random].ravel(), steps)
    surfaces = [read_surface(draw, steps) for draw in asked[-n_random:]]
    pairs = np.array([_interior(s) for s in surfaces]).reshape(-1, 2).mean(axis=1)
    interaction = read_sign(values[-4 * N_SIGN :], float(surface.insertion[-1, -1]))
    reason = missing_reason(values) or interaction.reason
    sign = interaction.sign
    insertion = sign * _beyond(surface.insertion, [s.insertion for s in surfaces])
    deletion = sign * _beyond(surface.deletion, [s.deletion for s in surfaces])
    value = sign * (_interior(surface) - float(pairs.mean()))
    return RecoveredScore(
        SURFACE_RECOVERED, value_or_nan(value, reason), surface.fractions[1:-1], (insertion + deletion) / 2,
        reason=reason, insertion=insertion, deletion=deletion,
        own=_interior(surface), random=float(pairs.mean()),
        standard_error=float(pairs.std(ddof=1) / np.sqrt(len(pairs))), interaction=interaction,
    )  # fmt: skip


def surface_steps(steps: int) -> int:
    """Steps of the surface beside curves of ``steps`` steps: half as many, at least 3.

    A surface has a point for every pair of fractions. With half the steps it shows no picture that a curve does not
    show too (K = 10), and costs about as many coalitions.
    """
    return max(3, steps // 2)
