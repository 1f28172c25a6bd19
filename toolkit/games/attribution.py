"""What an explainer returns: one signed score per player."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from toolkit.games.game import Players
from toolkit.typing import Modality, Scores

Details: TypeAlias = dict[str, float | int | str | list[float]]
"""Numbers beside the scores; everything in it can be written as JSON."""


@dataclass(frozen=True)
class Attribution:
    """Signed scores over the players of a game, for the one answer token that the game scores.

    Attributes:
        scores: Shape (n_players,); larger means "speaks more for the target".
        players: The players of the explained game.
        explainer: Registry name of the explainer.
        target: The explained answer, equal to the scored answer.
        n_evaluations: Forward passes (rows) spent.
        n_gradients: Backward passes (rows) spent.
        seconds: Wall-clock time.
        convergence_delta: |sum of scores - (v(all) - v(baseline))| where the explainer is complete, else None.
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
        scores = np.array(self.scores, dtype=np.float64)
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
