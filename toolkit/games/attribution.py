"""What an explainer returns: one signed score per player, and what pairs of players do together where it says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.arguments import check_text
from toolkit.games.game import Players
from toolkit.typing import EqualByContent, Modality, PairScores, Scores

Details: TypeAlias = dict[str, float | int | str | list[float]]
"""Numbers beside the scores; everything in it can be written as JSON."""


@dataclass(frozen=True, eq=False)
class Attribution(EqualByContent):
    """Signed scores over the players of a game, for the one answer token that the game scores.

    Attributes:
        scores: Shape (n_players,); larger means "speaks more for the target".
        players: The players of the explained game.
        explainer: Registry name of the explainer.
        target: The explained answer, equal to the scored answer.
        n_evaluations: Forward passes (rows) spent.
        n_gradients: Backward passes (rows) spent.
        seconds: Wall-clock time.
        convergence_delta: ``|sum of scores - (v(all) - v(baseline))|`` where the explainer is complete, else None.
        details: Numbers worth keeping (steps, layer, conservation error), JSON-serialisable.
    """

    scores: Scores = field(repr=False)
    players: Players = field(repr=False)
    explainer: str
    target: str
    n_evaluations: int = 0
    n_gradients: int = 0
    seconds: float = 0.0
    convergence_delta: float | None = None
    details: Details = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.players, Players):
            raise TypeError(f"players must be the Players of a game, got {short(self.players)}; game.players are some")
        for what in ("explainer", "target"):
            check_text(what, getattr(self, what))
        if not isinstance(self.details, Mapping):
            raise TypeError(f"details must be a mapping of names to numbers, got {short(self.details)}")
        given: NDArray[Any]
        try:
            given = np.asarray(self.scores)
        except ValueError:
            given = np.empty(0, dtype=object)
        if given.dtype.kind not in "biuf":
            raise TypeError(f"scores must be one real number per player, got {short(self.scores)}")
        scores = np.array(given, dtype=np.float64)
        if scores.shape != (self.players.n,):
            raise ValueError(
                f"attribution of {self.explainer!r} has shape {scores.shape}, expected ({self.players.n},): "
                f"{self.players.n_image} image players, then {self.players.n_text} text players"
            )
        if not np.isfinite(scores).all():
            bad = int((~np.isfinite(scores)).sum())
            raise ValueError(
                f"attribution of {self.explainer!r} has {bad} non-finite scores (NaN or infinity) among {scores.size}; "
                "check the explainer's gradients or divisions"
            )
        scores.setflags(write=False)
        object.__setattr__(self, "scores", scores)

    def of(self, modality: Modality) -> Scores:
        """Scores of one modality, in player order."""
        return self.scores[self.players.of(modality)]


@dataclass(frozen=True, eq=False)
class InteractionAttribution(Attribution):
    """An attribution whose scores come from signed interactions between image cells and words.

    The scores are those of the first order that the pairs imply: score_i = sum over the players j of the *other*
    modality of pairs_ij. So the sum over the image's scores equals the sum over the words', and a positive score says
    that a player adds more beside the other modality than alone. What a player does by itself is left out.

    Attributes:
        pairs: Shape (n_image, n_text), in the unit of the game's values: > 0 where cell and word work together, < 0
            where they repeat each other.

    Raises:
        ValueError: The pairs have another shape, or a NaN among them.

    Reference: pairs as explanations of vision-language models: FIxLIP, arXiv 2508.05430.

    Example:
        >>> import toolkit
        >>> players = toolkit.Players.make(("left", "right"), ("red", "circle"))
        >>> found = toolkit.InteractionAttribution.from_pairs([[0.5, 0.25], [0.0, -0.25]], players, "mine", "yes")
        >>> found.scores.tolist()
        [0.75, -0.25, 0.5, 0.0]
    """

    pairs: PairScores = field(kw_only=True, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs = _checked(self.pairs, self.players, self.explainer)
        pairs.setflags(write=False)
        object.__setattr__(self, "pairs", pairs)

    @classmethod
    def from_pairs(cls, pairs: ArrayLike, players: Players, explainer: str, target: str, **numbers: Any) -> Self:
        """The attribution of signed pairs (n_image, n_text); ``numbers`` are the other fields of an attribution."""
        found = _checked(pairs, players, explainer)
        scores = np.concatenate([found.sum(axis=1), found.sum(axis=0)])
        return cls(scores, players, explainer, target, pairs=found, **numbers)


def _checked(given: ArrayLike, players: Players, explainer: str) -> PairScores:
    """Pairs (n_image, n_text) as they are; anything else is refused."""
    pairs = np.array(given, dtype=np.float64)
    expected = (players.n_image, players.n_text)
    if pairs.shape == expected and np.isfinite(pairs).all():
        return pairs
    mend = ""
    if pairs.shape == (players.n, players.n):
        mend = ". Of a matrix over all players give pairs[:n_image, n_image:]"
        if not np.array_equal(pairs, pairs.T, equal_nan=True):
            mend += "; this one is not symmetric, so give its other half too, as an explainer of the other direction"
    raise ValueError(
        f"pairs of {explainer!r} have shape {pairs.shape} and {int((~np.isfinite(pairs)).sum())} non-finite entries; "
        f"expected finite numbers of shape {expected}: image players by text players{mend}"
    )
