"""Harsanyi dividends, Shapley values and the Shapley interaction index, exact by enumeration.

Coalitions are numbered by their bits (``toolkit.games.game.coalition_index``): player i contributes 2^i.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from toolkit.arguments import check_list, check_whole
from toolkit.games.enumerate import Cancelled, Progress, all_values
from toolkit.games.game import CachedGame, Game, Group, QuotientGame, group_mask
from toolkit.games.sampling import N_RUNS, Estimator, estimate_pair_index
from toolkit.typing import Values

MAX_GROUPS = 16


@dataclass(frozen=True)
class InteractionIndex:
    """The Shapley interaction index of two groups of players.

    Attributes:
        value: The index, in the unit of the game's values.
        n_players: Players of the quotient game that was solved.
        n_evaluations: Distinct coalitions of the game underneath that were read.
        standard_error: Of the estimate; 0 where the value is exact.
        budget: Evaluations allowed; None where every coalition was enumerated.
        estimator: How the value was estimated, or ``"exact"``.
    """

    value: float
    n_players: int
    n_evaluations: int
    standard_error: float = 0.0
    budget: int | None = None
    estimator: Literal["exact", "shapiq", "pairs"] = "exact"

    @property
    def estimated(self) -> bool:
        """Whether the value comes from sampling."""
        return self.estimator != "exact"

    @property
    def degrees_of_freedom(self) -> float:
        """Of the standard error: independent runs or draws less one; infinite where the value is exact."""
        if self.budget is None or not self.estimated:
            return math.inf
        return N_RUNS - 1 if self.estimator == "shapiq" else self.budget // 4 - 1

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's interval of the estimate; the value twice where it is exact."""
        reach = float(stdtrit(self.degrees_of_freedom, (1 + level) / 2)) * self.standard_error
        return self.value - reach, self.value + reach

    def __float__(self) -> float:
        return self.value


def moebius(values: Values) -> Values:
    """Moebius transform of a table: d(S) = sum over T inside S of (-1)^(|S|-|T|) v(T); shape (2^n,) to (2^n,)."""
    dividends = np.array(values, dtype=np.float64)
    step = 1
    while step < len(dividends):
        pairs = dividends.reshape(-1, 2, step)
        pairs[:, 1] -= pairs[:, 0]
        step *= 2
    return dividends


def harsanyi_dividends(game: Game, *, progress: Progress | None = None, cancelled: Cancelled | None = None) -> Values:
    """Harsanyi dividends of all coalitions, shape (2^n,), in the unit of the values.

    d(S) = v(S) minus the dividends of all proper subsets of S: what S creates that no part of it does. d(empty) is
    v(empty).

    Raises:
        ValueError: More than 20 players.
        CancelledError: ``cancelled`` returned True.

    Reference: Harsanyi, A simplified bargaining model for the n-person cooperative game, 1963.
    """
    return moebius(all_values(game, progress=progress, cancelled=cancelled))


def _weights(n_others: int) -> NDArray[np.float64]:
    """Weight of each coalition of the others, shape (2^n_others,): uniform over sizes, then within a size."""
    by_size = np.array([1 / ((n_others + 1) * comb(n_others, s)) for s in range(n_others + 1)])
    return by_size[np.bitwise_count(np.arange(1 << n_others))]


def shapley_values(game: Game, *, progress: Progress | None = None, cancelled: Cancelled | None = None) -> Values:
    """Shapley values, shape (n_players,): the mean gain of a player who joins in a random order.

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)); they add up to v(all) - v(empty).

    Raises:
        ValueError: More than 20 players.
        CancelledError: ``cancelled`` returned True.

    Reference: Shapley, A value for n-person games, 1953.
    """
    return shapley_of_table(all_values(game, progress=progress, cancelled=cancelled))


def shapley_of_table(values: Values) -> Values:
    """Shapley values (n, ...) from the table (2^n, ...) of all values of one game, or of several side by side.

    Example:
        >>> shapley_of_table(np.array([0.0, 1.0, 0.0, 3.0])).tolist()
        [2.0, 1.0]
    """
    n = len(values).bit_length() - 1
    weights, shapley = _weights(n - 1) if n else np.empty(0), np.empty((n, *values.shape[1:]))
    for i in range(n):
        pairs = values.reshape(-1, 2, 1 << i, *values.shape[1:])
        shapley[i] = np.tensordot(weights, (pairs[:, 1] - pairs[:, 0]).reshape(-1, *values.shape[1:]), axes=1)
    return shapley


def pair_index(values: Values, i: int, j: int) -> float:
    """Shapley interaction index of players i and j from the table (2^n,) of all values.

    SII = sum over S without i, j of |S|! (n - |S| - 2)! / (n - 1)! (v(S+i+j) - v(S+i) - v(S+j) + v(S)).

    Raises:
        ValueError: i and j are the same player, or not players of the table.

    Reference: Grabisch and Roubens, An axiomatic approach to the concept of interaction among players, 1999.
    """
    n = len(values).bit_length() - 1
    if i == j or not (0 <= i < n and 0 <= j < n):
        raise ValueError(f"the index needs two different players between 0 and {n - 1}, got {i} and {j}")
    cube = np.moveaxis(values.reshape((2,) * n), (n - 1 - i, n - 1 - j), (0, 1)).reshape(2, 2, -1)
    return float(((cube[1, 1] - cube[1, 0]) - (cube[0, 1] - cube[0, 0])) @ _weights(n - 2))


def shapley_interaction_index(
    game: Game,
    group_a: Group,
    group_b: Group,
    *,
    groups: Sequence[Group] | Literal["rest", "players"] = "rest",
    budget: int | None = None,
    rng: np.random.Generator | None = None,
    estimator: Estimator = "pairs",
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> InteractionIndex:
    """Shapley interaction index of two groups, each merged into one player of a quotient game.

    With the default groups the quotient game is {A, B, rest}, four coalitions with the rest and four without, and the
    index is the mean of the pair's second difference with nobody else present and with everybody else present. An
    empty group is a null player: its index is 0.

    Args:
        game: The game.
        group_a: Indices or mask of the first group.
        group_b: Indices or mask of the second group.
        groups: Who plays beside the two: ``"rest"`` merges all others into one player, ``"players"`` leaves each
            alone, a sequence of groups must divide the others between them.
        budget: Most coalitions to evaluate. The index is estimated if enumeration does not fit into it.
        rng: Randomness of the estimate.
        estimator: ``"pairs"`` samples the second difference of this pair alone, four coalitions at a time, without
            bias; ``"shapiq"`` is SHAP-IQ, which estimates all pairs at once. On a model's 42 players their standard
            deviations at the same budget were .009 and .055.
        progress: Called as progress(done, total).
        cancelled: Polled; True stops.

    Raises:
        ValueError: Groups that overlap or leave somebody out, or more than 16 players without a budget and an rng.
        CancelledError: ``cancelled`` returned True.

    Reference: Grabisch and Roubens, 1999; Fumagalli et al., SHAP-IQ, arXiv 2303.01179.

    Example:
        >>> import toolkit
        >>> from toolkit.games.analytic import and_gate
        >>> toolkit.shapley_interaction_index(and_gate(2, 1), [0, 1], [2]).value
        1.0
    """
    cache = CachedGame(game)
    if budget is not None:
        check_whole("budget", budget, 1)
    if not (rng is None or isinstance(rng, np.random.Generator)):
        raise TypeError(f"rng must be a numpy.random.Generator, got {rng!r}; np.random.default_rng(0) is one")
    quotient = _pair_quotient(cache, group_a, group_b, groups)
    m = quotient.players.n
    if m <= MAX_GROUPS and (budget is None or 1 << m <= budget):
        value = pair_index(all_values(quotient, progress=progress, cancelled=cancelled), 0, 1)
        return InteractionIndex(value, m, cache.n_evaluations)
    if budget is None or rng is None:
        raise ValueError(
            f"the quotient game has {m} players; exact enumeration stops at {MAX_GROUPS}. Merge the others into "
            "fewer groups, or give a budget (evaluations) and an rng for an estimate with its standard error"
        )
    value, error = estimate_pair_index(
        quotient, budget=budget, rng=rng, estimator=estimator, progress=progress, cancelled=cancelled
    )
    return InteractionIndex(value, m, cache.n_evaluations, error, budget, estimator)


def _pair_quotient(
    game: Game, group_a: Group, group_b: Group, groups: Sequence[Group] | Literal["rest", "players"]
) -> QuotientGame:
    """The game whose first two players are the groups and whose others are the groups.

    Raises:
        ValueError: Groups that overlap, or that leave somebody out.
    """
    n = game.players.n
    a, b = group_mask(group_a, n), group_mask(group_b, n)
    others = ~(a | b)
    if isinstance(groups, str):
        if groups not in ("rest", "players"):
            raise ValueError(f"groups must be 'rest', 'players' or a sequence of groups, got {groups!r}")
        rest: list[Group] = [others] if groups == "rest" else [[int(i)] for i in np.flatnonzero(others)]
    else:
        check_list("groups", groups)
        rest = list(groups)
    quotient = QuotientGame(game, [a, b, *rest])
    left_out = np.flatnonzero(~quotient.groups.any(axis=0))
    if left_out.size:
        raise ValueError(f"players {left_out.tolist()} are in no group; the groups must hold all others")
    return quotient
