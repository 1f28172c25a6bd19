"""How a game's value is read from the log-probabilities of forced answer tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.games.target import Unit
from toolkit.typing import Values


@dataclass(frozen=True)
class Scoring:
    """How v is read from the log-probabilities of forced tokens: v = sum_j w_j log p_j, or its exponential.

    Attributes:
        forms: The forced answers, one or two, each behind the prompt.
        weights: Shape (n_tokens,): w of every token of the first form, then of the second.
        unit: ``"probability"`` takes the exponential.
        first: Of each form, the first token that is scored.
    """

    forms: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    unit: Unit = "probability"
    first: tuple[int, ...] = (0,)

    def read(self, logs: NDArray[np.float64]) -> Values:
        """Values (n,) of log-probabilities (n, n_tokens)."""
        scored = np.flatnonzero(self.weights)  # what is not scored may have a probability of 0
        found: Values = logs[:, scored] @ np.array(self.weights)[scored]
        return np.exp(found) if self.unit == "probability" else found
