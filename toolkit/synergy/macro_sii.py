"""The paper's exact interaction index, against which F_syn is checked as a surrogate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.games.attribution import Attribution
from toolkit.games.enumerate import Cancelled, Progress, evaluate
from toolkit.games.game import CachedGame, Game, Players, QuotientGame, all_coalitions
from toolkit.games.interactions import MAX_GROUPS, pair_index
from toolkit.synergy.f_syn import PAPER
from toolkit.synergy.ordering import check_attribution, curve_fractions, top_coalitions
from toolkit.synergy.score import MetricSpec, Score, missing_reason, value_or_nan
from toolkit.synergy.srg import auc

MACRO_SII = MetricSpec(
    "macro-sii",
    1,
    (-2.0, 2.0),
    "probability",
    f"{PAPER}; Grabisch and Roubens, 1999",
    "Exact Shapley interaction index of {I_k, T_k} beside background groups of random image and text chunks.",
)


def background_groups(
    players: Players, taken: NDArray[np.bool_], n_groups: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Random groups that share out all players not taken: each owns a chunk of the image and a chunk of the text.

    The chunks of a modality differ in size by one player at most; where fewer players than groups are left, some
    groups are empty.
    """
    image = rng.permutation(np.flatnonzero(players.of("image") & ~taken))
    text = rng.permutation(np.flatnonzero(players.of("text") & ~taken))
    chunks = zip(np.array_split(image, n_groups), np.array_split(text, n_groups), strict=True)
    return [np.concatenate(pair) for pair in chunks]


def _quotients(
    game: Game,
    attribution: Attribution,
    fractions: NDArray[np.float64],
    n_background: int,
    rng: np.random.Generator,
    tie_seed: int,
) -> list[QuotientGame]:
    """One quotient game per k: I_k, T_k, then the background groups."""
    image = top_coalitions(attribution, "image", fractions, tie_seed=tie_seed)
    text = top_coalitions(attribution, "text", fractions, tie_seed=tie_seed)
    quotients = []
    for top_image, top_text in zip(image, text, strict=True):
        background = background_groups(game.players, top_image | top_text, n_background, rng)
        groups: Sequence[NDArray[np.bool_] | NDArray[np.int64]] = [top_image, top_text, *background]
        quotients.append(QuotientGame(game, groups))
    return quotients


def macro_game_sii(
    game: Game,
    attribution: Attribution,
    steps: int = 10,
    *,
    rng: np.random.Generator,
    n_background: int = 6,
    tie_seed: int = 0,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Score:
    """Exact Shapley interaction index of I_k and T_k in the paper's macro-game, at k = 0, 1/K, ..., 1.

    At each k the players are I_k, T_k and six background players, each of whom owns one random chunk of the
    remaining image players and one of the remaining text players; all 2^8 coalitions are enumerated. F_syn is the
    same index with the background merged into one player: of the pair's 64 contexts it reads two, nobody else and
    everybody else. At k = 0 the index is 0, at k = 1 it is the total interaction: compare on 0 < k < 1 only.

    Args:
        game: The game; its cache, if any, is used.
        attribution: The ordering that defines I_k and T_k.
        steps: K.
        rng: Draws the background chunks, anew at each k.
        n_background: Number of background players, 1 to 14.
        tie_seed: Seed of the permutation that orders equal scores.
        progress: Called as progress(done, total) with numbers of coalitions.
        cancelled: Polled; True stops.

    Returns:
        Score whose curve is the index at each k and whose value is its area.

    Raises:
        TypeError: Not an Attribution.
        ValueError: The attribution explains something else, or an argument out of range.
        CancelledError: ``cancelled`` returned True.

    Reference: arXiv 2605.22168.
    """
    check_attribution(game, attribution)
    fractions = curve_fractions(steps)
    if not 1 <= n_background <= MAX_GROUPS - 2:
        raise ValueError(f"n_background must be between 1 and {MAX_GROUPS - 2}, got {n_background}")
    cache = CachedGame(game)
    quotients = _quotients(cache, attribution, fractions, n_background, rng, tie_seed)
    table = all_coalitions(n_background + 2)
    asked = np.concatenate([quotient.expand(table) for quotient in quotients])
    values = evaluate(cache, asked, progress=progress, cancelled=cancelled)
    curve = np.array([pair_index(row, 0, 1) for row in values.reshape(len(fractions), -1)])
    reason = missing_reason(values)
    return Score(MACRO_SII, value_or_nan(auc(curve, fractions), reason), fractions, curve, cache.n_evaluations, reason)
