"""Shapley interactions between image cells and words: the Shapley interaction index of every pair.

    pairs_ij = SII(i, j) = E_S [ v(S + i + j) - v(S + i) - v(S + j) + v(S) ]

the mean, over coalitions S of the others with the Shapley weights, of what i and j add together beyond what each adds
alone. A positive pair works together; a negative one repeats itself.

Reference: Grabisch and Roubens, 1999; estimated by KernelSHAP-IQ (Fumagalli et al., 2024, arXiv 2405.10852) through
shapiq; patch x token interactions of VLMs: FIxLIP, arXiv 2508.05430.
Adapted for autoregressive VLMs: only cross-modal pairs are kept; a player's own effect is left out on purpose, so this
explains the *interaction* and not the answer.
Cost: ``per_unknown`` forward rows for each of the 1 + n + n (n - 1) / 2 unknowns of the regression (42 players: 2,034),
at most 2^n (then exact); no gradients. Below about two rows per unknown the regression is noise, hence the refusal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.extras import need
from toolkit.games.attribution import Details, InteractionAttribution
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
                f"{self.name}: interactions among {n} players need about {wanted} evaluations, more than its "
                f"budget of {self.budget}; raise the budget, take fewer players (players='grid:4x4'), or "
                "banzhaf-interaction, which leaves out the pairs within a modality"
            )
        return wanted

    def passes(self, n: int) -> Passes:
        """The budget and no gradients."""
        return Passes(self.rows(n))

    def approximator(self, n: int, seed: int) -> Any:
        """What estimates the index.

        Raises:
            ModuleNotFoundError: shapiq is not installed (extra ``shapley``).
        """
        need("shapley", self.name, otherwise="take banzhaf-interaction, which needs no more than the toolkit")
        from shapiq.approximator import KernelSHAPIQ  # heavy: imported where it is used

        return KernelSHAPIQ(n, max_order=2, index="SII", pairing_trick=True, random_state=seed)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> InteractionAttribution:
        """Explain what cells and words do together.

        Raises:
            ValueError: The players are too many for the budget.
        """
        target = resolve_target(vlm, sample, target)
        game = vlm.game(sample, target=target, baseline=baseline)
        n, n_image = game.players.n, game.players.n_image
        rows, approximator = self.rows(n), self.approximator(n, int(rng.integers(2**31)))
        nothing = float(game(np.zeros((1, n), dtype=np.bool_))[0])
        values = approximator.approximate(
            rows, lambda asked: game(np.atleast_2d(np.asarray(asked, dtype=np.bool_))) - nothing
        )
        pairs = np.array(values.get_n_order_values(2), dtype=np.float64)[:n_image, n_image:]
        spent = int(values.estimation_budget or 0)
        details: Details = {"budget": spent, "exact": int(not values.estimated)}
        return InteractionAttribution.from_pairs(
            pairs, game.players, self.name, target, n_evaluations=spent, details=details
        )
