"""From scores to nested coalitions: which players belong to the top fraction k of a modality.

The top fraction k of n players are the floor(k n + 1/2) players with the largest scores. Players with equal scores
are ordered by permutations that depend on the sample (its players' labels), never by their position: a binary map over
a grid would otherwise be judged by the raster order of its cells, and one fixed order of the words would bring its own
luck into every sample. A score is the mean over several such orders, which come in fours: a permutation of those
that are tied cut into quarters, which take their turns by a Williams design (Williams, 1949, doi 10.1071/CH9490149).
Each order alone is uniform; in four of them every quarter stands once at every place and once before every other, so
that four are about as exact as sixteen independent ones (``notebooks/site/speed.md``).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.arguments import check_list, check_whole
from toolkit.games.attribution import Attribution
from toolkit.games.game import Game, Players, check_game
from toolkit.typing import Coalitions, Modality, Scores

ROUNDING = 1e-9
"""Guards floor(k n + 1/2) against k n that is half an integer on paper and a little less in binary."""

TURNS = 4
"""Orders of tied players that one permutation gives; a score is averaged over them."""


def curve_fractions(steps: int) -> NDArray[np.float64]:
    """The fractions 0, 1/K, ..., 1 of a curve of K steps, shape (K + 1,).

    Raises:
        ValueError: K is not a whole number of at least 1.
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
    return np.arange(steps + 1) / float(steps)


def check_fractions(fractions: ArrayLike) -> NDArray[np.float64]:
    """Return fractions k as an array, shape (n_fractions,).

    Raises:
        ValueError: Not a one-dimensional list of numbers in [0, 1].
    """
    checked = np.asarray(fractions, dtype=np.float64)
    if checked.ndim != 1 or checked.size == 0 or not ((checked >= 0) & (checked <= 1)).all():
        raise ValueError(f"fractions k must be a list of numbers between 0 and 1, got {fractions!r}")
    return checked


def top_counts(n_players: int, fractions: ArrayLike) -> NDArray[np.int64]:
    """Number of players in each top fraction: floor(k n + 1/2), shape (n_fractions,).

    Raises:
        ValueError: A fraction outside [0, 1].
    """
    return np.floor(check_fractions(fractions) * n_players + 0.5 + ROUNDING).astype(np.int64)


def score_order(scores: Scores, rng: np.random.Generator, *, turn: int = 0) -> NDArray[np.int64]:
    """Players from the largest score to the smallest, ties in random order; shape (n_players,).

    Args:
        scores: Shape (n_players,).
        rng: Draws a permutation.
        turn: Row of the Williams design by which the quarters a, b, c, d of each set of tied players come: abcd, its
            reverse dcba, bdac, its reverse cadb. A reverse also goes backwards within the quarters. Of two players one
            is a and one is c.
    """
    shuffled = rng.permutation(len(scores))
    order = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    ranked = scores[order]
    tied = np.split(order, np.flatnonzero(ranked[1:] != ranked[:-1]) + 1)
    if turn >= 2:
        quarters = [np.split(players, [-(-len(players) * n // 4) for n in (1, 2, 3)]) for players in tied]
        tied = [np.concatenate((b, d, a, c)) for a, b, c, d in quarters]
    return np.concatenate([players[::-1] for players in tied] if turn % 2 else tied)


def top_coalitions(
    attribution: Attribution, modality: Modality, fractions: ArrayLike, *, tie_seed: int = 0
) -> Coalitions:
    """The top fraction k of one modality's players, for each k; shape (n_fractions, n_players).

    The other modality is absent throughout. The coalitions are nested.

    Args:
        attribution: Who comes first.
        modality: ``"image"`` or ``"text"``.
        fractions: The k, in [0, 1].
        tie_seed: Which order of equal scores. Seeds 4 i to 4 i + 3 are the four turns (``score_order``) of permutation
            i, which the players' labels key; words turn in another sequence than cells, so that not both are reversed.

    Raises:
        ValueError: A fraction outside [0, 1], an unknown modality, no players of this modality, or a negative seed.
    """
    check_modality(modality)
    check_whole("tie_seed", tie_seed)
    members = np.flatnonzero(attribution.players.of(modality))
    if members.size == 0:
        raise ValueError(f"the game has no {modality} players, so it has no {modality} curve")
    counts = top_counts(members.size, fractions)
    draw, turn = divmod(tie_seed, TURNS)
    turn = (0, 2, 1, 3)[turn] if modality == "text" else turn
    rng = np.random.default_rng([draw, ("image", "text").index(modality), sample_key(attribution.players)])
    order = members[score_order(attribution.scores[members], rng, turn=turn)]
    coalitions = np.zeros((len(counts), attribution.players.n), dtype=np.bool_)
    coalitions[:, order] = np.arange(members.size) < counts[:, None]
    return coalitions


def sample_key(players: Players) -> int:
    """What keys the random orders of a sample: a checksum of its players' labels, so another question has others."""
    return zlib.crc32("\n".join(players.labels).encode())


def tie_breaks(
    attribution: Attribution, tie_seeds: Sequence[int] | None = None, *,
    modalities: Sequence[Modality] = ("image", "text"),
) -> tuple[int, ...]:  # fmt: skip
    """The orders of tied players over which a score is averaged, as seeds of ``top_coalitions``.

    Args:
        attribution: Its scores may be tied.
        tie_seeds: These orders; None takes a permutation and its turns where players are tied, one order where none
            are. Where only words are ordered there are two permutations: they are few, and show no new image.
        modalities: Those that are ordered.

    Raises:
        ValueError: No seed, or one twice.
    """
    if tie_seeds is not None:
        return check_tie_seeds(tie_seeds)
    tied = any(len(np.unique(scores := attribution.of(m))) < len(scores) for m in modalities)
    return tuple(range((TURNS if "image" in modalities else 2 * TURNS) if tied else 1))


def check_modality(modality: object) -> None:
    """Refuse what is no modality.

    Raises:
        ValueError: Something else than ``"image"`` and ``"text"``.
    """
    if not isinstance(modality, str) or modality not in ("image", "text"):
        raise ValueError(f"modality must be 'image' or 'text', got {modality!r}")


def check_attribution(game: Game, attribution: Attribution) -> None:
    """Check that the attribution explains what the game scores.

    Raises:
        TypeError: Not an Attribution.
        ValueError: Other players than the game's, or another target.
    """
    check_game(game)
    if not isinstance(attribution, Attribution):
        raise TypeError(
            f"expected an Attribution, got {type(attribution).__name__}; "
            "wrap bare scores: Attribution(scores, game.players, explainer=..., target=...)"
        )
    ours, theirs = game.players, attribution.players
    if (ours.n_image, ours.n_text) != (theirs.n_image, theirs.n_text):
        raise ValueError(
            f"the attribution of {attribution.explainer!r} has {theirs.n_image} image and {theirs.n_text} text "
            f"players, the game has {ours.n_image} and {ours.n_text}; explain the same sample with the same model"
        )
    if ours.labels != theirs.labels:
        raise ValueError(f"the attribution of {attribution.explainer!r} names other players than the game does")
    target = getattr(game, "target", None)
    if isinstance(target, str) and target != attribution.target:
        raise ValueError(
            f"the attribution of {attribution.explainer!r} explains {attribution.target!r} but the game scores "
            f"{target!r}; the explained answer must be the scored one"
        )


def random_attributions(players: Players, n: int, seed: int | Sequence[int], *, target: str = "") -> list[Attribution]:
    """Random orderings in antithetic pairs: each second one is the reverse of the one before.

    Each ordering alone is uniform. A pair visits every player once early and once late, so the mean of a pair spreads
    less than the mean of two independent orderings.

    Raises:
        ValueError: n is not even, or less than 2.
    """
    if n < 2 or n % 2:
        raise ValueError(f"random orderings come in pairs: n must be even and at least 2, got {n}")
    rng = np.random.default_rng(seed)
    draws = (rng.permutation(players.n).astype(np.float64) for _ in range(n // 2))
    pairs = ((scores, -scores) for scores in draws)
    return [Attribution(scores, players, "random", target) for pair in pairs for scores in pair]


def reference_orderings(players: Players, n: int, seed: int, *, target: str = "") -> list[Attribution]:
    """Random orderings that a score is compared with: the same for all explainers of a sample, others per question.

    One fixed set for all samples would carry its own luck into every one of them, and a mean over samples could not
    average it out. The draws depend on the seed and the players' labels.

    Raises:
        ValueError: n is not even, or less than 2.
    """
    return random_attributions(players, n, (seed, sample_key(players)), target=target)


def check_tie_seeds(tie_seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds over which tie-breaks are averaged.

    Raises:
        ValueError: None, or one twice.
    """
    check_list("tie_seeds", tie_seeds)
    for seed in tie_seeds:
        check_whole("each of tie_seeds", seed)
    seeds = tuple(tie_seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"tie_seeds must be at least one different whole numbers, got {tie_seeds!r}")
    return seeds
