"""Occlusion: the drop of the answer's probability when one player is removed.

    score_i = v(all) - v(all without i)

Reference: Zeiler and Fergus, 2014, arXiv 1311.2901; for text known as leave-one-out.
Adapted for autoregressive VLMs: cells and words are removed by the game's own operator, so this measures exactly the
quantity that deletion at the first step measures.
Cost: n_players + 1 forward rows, batched by the game; no gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.games.attribution import Attribution
from toolkit.typing import Scores, Values
from toolkit.vlm.protocol import VLM


def lost(values: Values) -> Scores:
    """v(all) - v(all without i), (n_players,), of the values of everybody and of each leave-one-out."""
    scores: Scores = values[0] - values[1:]
    return scores


@dataclass(frozen=True)
class Occlusion:
    """Leave-one-out on the game."""

    name: ClassVar[str] = "occlusion"
    reference: ClassVar[str] = "Zeiler and Fergus 2014, arXiv 1311.2901"
    cost: ClassVar[str] = "n_players + 1 forward rows"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})
    deterministic: ClassVar[bool] = True

    def passes(self, n: int) -> Passes:
        """Everybody, and everybody but one."""
        return Passes(n + 1)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain v(all); deterministic, ``rng`` is not used."""
        target = resolve_target(vlm, sample, target)
        game = vlm.game(sample, target=target, baseline=baseline)
        n = game.players.n
        coalitions = np.vstack([np.ones((1, n), dtype=np.bool_), ~np.eye(n, dtype=np.bool_)])
        values = game(coalitions)
        return Attribution(lost(values), game.players, self.name, target, n_evaluations=n + 1)
