"""Insertion and deletion curves of one modality, and their symmetric relevance gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame, Game
from toolkit.games.target import unit_of
from toolkit.synergy.ordering import check_attribution, check_modality, curve_fractions, tie_breaks, top_coalitions
from toolkit.synergy.score import MetricSpec, Score, in_unit, missing_reason, value_or_nan
from toolkit.typing import Coalitions, EqualByContent, Modality, Values

SRG = {
    modality: MetricSpec(
        name=f"srg-{modality}",
        direction=1,
        range=(-1.0, 1.0),
        unit="probability",
        reference="Symmetric relevance gain: Bluecher et al., arXiv 2401.06654; per modality: arXiv 2605.22168",
        description=f"Area between the insertion and the deletion curve of the {modality}, the other modality intact.",
    )
    for modality in ("image", "text")
}


@dataclass(frozen=True, kw_only=True, eq=False)
class CurveScore(Score):
    """A score made from an insertion and a deletion side.

    Attributes:
        insertion: Shape of ``curve``: the side that starts from nothing.
        deletion: Shape of ``curve``: the side that starts from everything.
    """

    insertion: NDArray[np.float64] = field(repr=False)
    deletion: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class InsertionDeletion(EqualByContent):
    """Both curves of one modality, the other modality intact, averaged over tie-breaks.

    Attributes:
        modality: Whose players are inserted and deleted.
        fractions: Shape (K + 1,): the k of each point.
        insertion: Shape (K + 1,): v with only the top fraction k of the modality present.
        deletion: Shape (K + 1,): v with the top fraction k of the modality removed.
        auc_insertion: Area under the insertion curve.
        auc_deletion: Area under the deletion curve.
        srg: Symmetric relevance gain, auc_insertion - auc_deletion.
    """

    modality: Modality
    fractions: NDArray[np.float64] = field(repr=False)
    insertion: NDArray[np.float64] = field(repr=False)
    deletion: NDArray[np.float64] = field(repr=False)
    auc_insertion: float
    auc_deletion: float
    srg: CurveScore


def auc(curve: NDArray[np.float64], fractions: NDArray[np.float64]) -> float:
    """Area under a curve over its fractions by the trapezoid rule; that of a constant c is c over [0, 1]."""
    return float(np.trapezoid(curve, fractions))


def insertion_deletion_coalitions(
    attribution: Attribution, modality: Modality, steps: int = 10, *, tie_seeds: Sequence[int] | None = None
) -> Coalitions:
    """Coalitions of both curves, shape (n_orders * 2 * (K + 1), n_players): per order, insertion then deletion."""
    check_modality(modality)
    fractions = curve_fractions(steps)
    all_of_it = attribution.players.of(modality)
    parts = []
    for seed in tie_breaks(attribution, tie_seeds, modalities=(modality,)):
        top = top_coalitions(attribution, modality, fractions, tie_seed=seed)
        parts += [top | ~all_of_it, ~top]
    return np.concatenate(parts)


def read_insertion_deletion(values: Values, modality: Modality, steps: int) -> InsertionDeletion:
    """Both curves from the values of ``insertion_deletion_coalitions``."""
    fractions = curve_fractions(steps)
    insertion, deletion = values.reshape(-1, 2, steps + 1).mean(axis=0)
    areas = auc(insertion, fractions), auc(deletion, fractions)
    reason = missing_reason(values)
    srg = CurveScore(
        SRG[modality], value_or_nan(areas[0] - areas[1], reason), fractions, insertion - deletion, reason=reason,
        insertion=insertion, deletion=deletion,
    )  # fmt: skip
    return InsertionDeletion(modality, fractions, insertion, deletion, *areas, srg)


def insertion_deletion(
    game: Game, attribution: Attribution, *, modality: Modality, steps: int = 10,
    tie_seeds: Sequence[int] | None = None,
) -> InsertionDeletion:  # fmt: skip
    """Insertion and deletion curves of one modality and their symmetric relevance gain.

    For the image: insertion_k = v(I_k, T), deletion_k = v(I without I_k, T), k = 0, 1/K, ..., 1, and
    mu_I = AUC of insertion - AUC of deletion. For the text likewise with I intact. 2 (K + 1) coalitions, all asked in
    one call, of which 2 K are distinct.

    Args:
        game: The game.
        attribution: The ordering to judge.
        modality: ``"image"`` or ``"text"``.
        steps: K.
        tie_seeds: Seeds of the permutations that order equal scores; the curves are their average. None takes as many
            as the ties need.

    Raises:
        TypeError: Not an Attribution.
        ValueError: The attribution explains something else, or the steps or seeds are not valid.

    Reference: Petsiuk et al., RISE, arXiv 1806.07421; Bluecher et al., arXiv 2401.06654.

    Example:
        >>> import numpy as np, toolkit
        >>> from toolkit.games.analytic import and_gate
        >>> game = and_gate(4, 2, image=[0])
        >>> found = toolkit.Attribution(np.array([1.0, 0, 0, 0, 0, 0]), game.players, "mine", "yes")
        >>> round(toolkit.insertion_deletion(game, found, modality="image").srg.value, 3)
        0.7
    """
    check_attribution(game, attribution)
    cache = CachedGame(game)
    values = cache(insertion_deletion_coalitions(attribution, modality, steps, tie_seeds=tie_seeds))
    found = read_insertion_deletion(values, modality, steps)
    srg = in_unit(found.srg, unit_of(attribution.target))
    return replace(found, srg=replace(srg, n_evaluations=cache.n_evaluations))
