"""Sampled estimates of the Shapley interaction index of players 0 and 1, with their standard errors."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.extras import need
from toolkit.games.enumerate import Cancelled, CancelledError, Progress, evaluate
from toolkit.games.game import Game

Estimator: TypeAlias = Literal["shapiq", "pairs"]

N_RUNS = 8


def estimate_pair_index(
    game: Game,
    *,
    budget: int,
    rng: np.random.Generator,
    estimator: Estimator,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> tuple[float, float]:
    """Estimate and standard error of the index of players 0 and 1.

    Raises:
        ValueError: An unknown estimator, or a budget too small for it.
        CancelledError: ``cancelled`` returned True.
        ModuleNotFoundError: shapiq is asked for and not installed (extra ``shapley``).
    """
    if estimator == "shapiq":
        return _shapiq(game, budget, rng, progress, cancelled)
    if estimator == "pairs":
        return _pairs(game, budget, rng, progress, cancelled)
    raise ValueError(f"unknown estimator {estimator!r}; expected 'shapiq' or 'pairs'")


def _pairs(
    game: Game, budget: int, rng: np.random.Generator, progress: Progress | None, cancelled: Cancelled | None
) -> tuple[float, float]:
    """Mean second difference over a random size, uniform in 0..n-2, and a random coalition of that size.

    The weights |S|! (n-|S|-2)! / (n-1)! are those of exactly this draw, so the mean is unbiased and its standard
    error is that of independent draws.
    """
    n = game.players.n
    draws = budget // 4
    if draws < 2:
        raise ValueError(f"a budget of {budget} is too small: a draw costs 4 evaluations and an error needs 2 draws")
    sizes = rng.integers(0, n - 1, draws)
    ranks = rng.random((draws, n - 2)).argsort(axis=1).argsort(axis=1)
    coalitions = np.zeros((draws, 4, n), dtype=np.bool_)
    coalitions[:, :, 2:] = (ranks < sizes[:, None])[:, None]
    coalitions[:, :, :2] = [[True, True], [True, False], [False, True], [False, False]]
    values = evaluate(game, coalitions.reshape(-1, n), progress=progress, cancelled=cancelled).reshape(draws, 4)
    differences = values @ np.array([1.0, -1.0, -1.0, 1.0])
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(draws))


def _shapiq(
    game: Game, budget: int, rng: np.random.Generator, progress: Progress | None, cancelled: Cancelled | None
) -> tuple[float, float]:
    """Mean of eight independent SHAP-IQ runs; their spread gives the standard error."""
    need("shapley", "the estimator 'shapiq'", otherwise="take estimator='pairs'")
    import shapiq

    n = game.players.n
    smallest = N_RUNS * 2 * (n + 1)
    if budget < smallest:
        raise ValueError(f"a budget of {budget} is too small for {N_RUNS} runs; expected at least {smallest}")

    class Watched(shapiq.Game):  # type: ignore[misc, unused-ignore]
        """The game in the form that shapiq's approximators call; polled for cancellation."""

        def value_function(self, coalitions: NDArray[Any]) -> NDArray[np.float64]:
            if cancelled is not None and cancelled():
                raise CancelledError("stopped while sampling")
            return game(np.atleast_2d(coalitions).astype(np.bool_))

    estimates = []
    for run in range(N_RUNS):
        seed = int(rng.integers(2**31))
        approximator = shapiq.SHAPIQ(n, max_order=2, index="SII", top_order=True, random_state=seed)
        interactions = approximator.approximate(budget // N_RUNS, Watched(n, normalize=False))
        estimates.append(float(interactions[(0, 1)]))
        if progress is not None:
            progress(run + 1, N_RUNS)
    return float(np.mean(estimates)), float(np.std(estimates, ddof=1) / np.sqrt(N_RUNS))
