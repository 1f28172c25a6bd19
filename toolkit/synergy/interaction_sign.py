"""Is a sample's interaction synergy or redundancy? Read where the corrected scores read, not at the corners alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.games.game import Players
from toolkit.synergy.ordering import random_attributions, sample_key
from toolkit.typing import Coalitions, Values

N_SIGN, INNER, _DRAW = 8, 0.1, 1
"""Orderings of the draw, in antithetic pairs; the share of cells at each end that stays outside; the draw's own key."""

CONTRADICTION = "the sample's interaction has no sign"
"""How the reason begins where corners and interior contradict each other."""


@dataclass(frozen=True)
class InteractionSign:
    """Three readings of a sample's interaction, which must agree.

    Attributes:
        total: At the corners: D = v(I, T) - v(I, 0) - v(B, T) + v(B, 0).
        inside: The same strictly inside, by each half of a draw of orderings.
    """

    total: float
    inside: tuple[float, float]

    @property
    def sign(self) -> float:
        """+1 for synergy, -1 for redundancy, 0 where the interior has neither."""
        return float(np.sign(sum(self.inside)))

    @property
    def reason(self) -> str | None:
        """Why the sample has no sign, or None if it has one."""
        if self.total == 0 or self.sign == 0:
            where = "total interaction" if self.total == 0 else "interaction inside"
            return f"the {where} is exactly 0: there is nothing to recover"
        if min(self.sign * value for value in (self.total, *self.inside)) < 0:
            first, second = self.inside
            told = f"{self.total:+.3g} at the corners, {first:+.3g} and {second:+.3g} inside"
            return f"{CONTRADICTION}: {told}"
        return None


def sign_coalitions(players: Players, *, seed: int = 0) -> Coalitions:
    """Coalitions of the reading inside, shape (N_SIGN * 4, n_players).

    Per ordering (I_h, T), (I_l, T), (I_h, 0), (I_l, 0).

    I_l are the first tenth of the cells, one at least, and I_h all but as many. The orderings are drawn from the seed
    and the players' labels, independently of those that a gain is measured against.
    """
    image, text = players.of("image"), players.of("text")
    few = max(1, round(INNER * players.n_image))
    parts = []
    for draw in random_attributions(players, N_SIGN, (seed, sample_key(players), _DRAW)):
        order = np.argsort(draw.scores[image])
        low, high = np.zeros_like(image), np.zeros_like(image)
        low[order[:few]] = True
        high[order[: max(few, len(order) - few)]] = True
        parts.append(np.stack([high | text, low | text, high, low]))
    return np.concatenate(parts)


def read_sign(values: Values, total: float) -> InteractionSign:
    """The three readings, from the values of ``sign_coalitions`` and the total interaction."""
    both, low, alone, neither = values.reshape(-1, 4).T
    first, second = (both - low - alone + neither).reshape(2, -1).mean(axis=1).tolist()
    return InteractionSign(total, (first, second))
