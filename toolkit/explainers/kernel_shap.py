"""Kernel SHAP: Shapley values of the game, estimated by weighted regression on sampled coalitions.

    phi = argmin over phi with sum phi = v(all) - v(nobody) of  E_S [ (v(S) - v(nobody) - sum_{i in S} phi_i)^2 ]

with coalitions weighted by the Shapley kernel and sampled in complementary pairs.

Reference: Lundberg and Lee, 2017, arXiv 1705.07874; through shapiq (Muschalik et al., 2024, arXiv 2410.01649).
Adapted for autoregressive VLMs: the players are image cells *and* question tokens of one game, so both modalities
share one budget and the scores are comparable between them.
Cost: ``budget`` forward rows, at most 2^n_players (then exact); no gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, resolve_target
from toolkit.explainers.internals.shapiq_game import value_function
from toolkit.games.attribution import Attribution
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class KernelShap:
    """Shapley values by shapiq's KernelSHAP.

    Attributes:
        budget: Coalitions to evaluate at most.
    """

    budget: int = 512

    name: ClassVar[str] = "kernel-shap"
    reference: ClassVar[str] = "Lundberg and Lee 2017, arXiv 1705.07874"
    cost: ClassVar[str] = "512 forward rows"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain v(all) - v(nobody).

        Raises:
            ValueError: The budget is too small to determine one value per player.
        """
        from shapiq.approximator import KernelSHAP  # heavy: imported where it is used

        target = resolve_target(vlm, sample, target)
        game = vlm.game(sample, target=target, baseline=baseline)
        n = game.players.n
        if self.budget < min(2 * n, 2**n):
            raise ValueError(f"a budget of {self.budget} is too small for {n} players; expected at least {2 * n}")
        budget = min(self.budget, 2**n) if n < 31 else self.budget
        approximator = KernelSHAP(n, pairing_trick=True, random_state=int(rng.integers(2**31)))
        values = approximator.approximate(budget, value_function(game))
        scores = np.array(values.get_n_order_values(1), dtype=np.float64)
        everyone, nobody = game(np.stack([np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)]))
        delta = abs(float(scores.sum() - (everyone - nobody)))
        spent = int(values.estimation_budget or 0)
        details: dict[str, float | int | str | list[float]] = {"budget": spent, "exact": int(not values.estimated)}
        return Attribution(
            scores, game.players, self.name, target, n_evaluations=spent, convergence_delta=delta, details=details
        )
