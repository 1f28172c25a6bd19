"""Shapley interactions between image cells and question tokens, summed to one score per player.

    score_i = sum over the players j of the *other* modality of SII(i, j)

SII is the Shapley interaction index: the mean, over coalitions of the others, of what i and j add together beyond what
each adds alone. A positive score says that a cell (a word) works together with the question (the picture); a negative
one that it repeats it. The sum over all image scores equals the sum over all text scores.

Reference: Grabisch and Roubens, 1999; estimated by KernelSHAP-IQ (Fumagalli et al., 2024, arXiv 2405.10852) through
shapiq; patch x token interactions of VLMs: FIxLIP, arXiv 2508.05430.
Adapted for autoregressive VLMs: only cross-modal pairs count; a player's own effect is left out on purpose, so this
explains the *interaction* and not the answer.
Cost: ``per_unknown`` forward rows for each of the 1 + n + n (n - 1) / 2 unknowns of the regression (42 players: 2,034),
at most 2^n (then exact); no gradients. Below about two rows per unknown the regression is noise, hence the refusal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.games.attribution import Attribution
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class ShapleyInteraction:
    """Cross-modal Shapley interactions by shapiq's KernelSHAP-IQ.

    Attributes:
        per_unknown: Coalitions per unknown of the regression.
        budget: No more coalitions than this.
    """

    per_unknown: float = 2.25
    budget: int = 8192

    name: ClassVar[str] = "shapley-interaction"
    reference: ClassVar[str] = "Fumagalli et al. 2024, arXiv 2405.10852"
    cost: ClassVar[str] = "about 1.1 n_players^2 forward rows (42 players: 2,034)"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})

    def rows(self, n: int) -> int:
        """Coalitions for n players.

        Raises:
            ValueError: More than the budget.
        """
        wanted = math.ceil(self.per_unknown * (1 + n + n * (n - 1) // 2))
        wanted = min(wanted, 2**n) if n < 31 else wanted
        if wanted > self.budget:
            raise ValueError(
                f"shapley-interaction: interactions among {n} players need about {wanted} evaluations, more than its "
                f"budget of {self.budget}; raise the budget, take fewer players (players='grid:4x4'), or kernel-shap, "
                "which scores the players one by one"
            )
        return wanted

    def passes(self, n: int) -> Passes:
        """The budget and no gradients."""
        return Passes(self.rows(n))

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain what the modalities do together.

        Raises:
            ValueError: The players are too many for the budget.
        """
        from shapiq.approximator import KernelSHAPIQ  # heavy: imported where it is used

        target = resolve_target(vlm, sample, target)
        game = vlm.game(sample, target=target, baseline=baseline)
        n, n_image = game.players.n, game.players.n_image
        seed = int(rng.integers(2**31))
        nothing = float(game(np.zeros((1, n), dtype=np.bool_))[0])
        approximator = KernelSHAPIQ(n, max_order=2, index="SII", pairing_trick=True, random_state=seed)
        values = approximator.approximate(
            self.rows(n), lambda rows: game(np.atleast_2d(np.asarray(rows, dtype=np.bool_))) - nothing
        )
        cross = np.array(values.get_n_order_values(2), dtype=np.float64)[:n_image, n_image:]
        scores = np.concatenate([cross.sum(axis=1), cross.sum(axis=0)])
        spent = int(values.estimation_budget or 0)
        details: dict[str, float | int | str | list[float]] = {"budget": spent, "exact": int(not values.estimated)}
        return Attribution(scores, game.players, self.name, target, n_evaluations=spent, details=details)
