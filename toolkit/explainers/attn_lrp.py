"""AttnLRP: relevance of the answer's logit, propagated back layer by layer under rules that conserve it.

    score_i = sum over the inputs j of player i of  x_j * (d logit / d x_j under the rules)

The rules, and what each promises, are in :mod:`toolkit.explainers.internals.lrp_rules`; how well the books balanced
in this very run is kept in ``details["conservation_error"]``, the largest relative error over all layers of both
towers.

Reference: Achtibat et al., 2024, arXiv 2402.05602. Layer-wise relevance propagation is patented and free for personal
and scientific use only.
Adapted for autoregressive VLMs: the rules cover the whole path from pixels to logit (both kinds of vision tower,
window attention, layer scale, merge, pixel shuffle, projector, decoder), so a cell's relevance is measured at its own
pixels and a word's at its embedding, in the same unit. No gamma rule. What ends on template tokens, class tokens,
positions and biases belongs to no player; the players' part of the logit is kept as ``details["share"]``.
Cost: one forward and one backward pass; memory of one backward pass plus one layer's attention weights, which are
computed again on the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.gradients import leaf, rows_that_fit, to_scores
from toolkit.explainers.internals.lrp_conservation import Balance, Ledger
from toolkit.explainers.internals.lrp_rules import lrp_rules
from toolkit.games.attribution import Attribution, Details
from toolkit.typing import Scores
from toolkit.vlm.protocol import VLM, WhiteBox


def relevance(box: WhiteBox) -> tuple[Scores, float, tuple[Balance, ...]]:
    """Relevance of every player (n_players,), the logit that it explains, and the balance of every layer.

    Raises:
        ValueError: A module of the model has no rule.
    """
    pixels, question = leaf(box.pixels), leaf(box.question)
    ledger = Ledger(box.model)
    with torch.enable_grad(), lrp_rules(box.model, ledger.tape):
        rows_that_fit(box, wanted=1, under="attn-lrp")
        with ledger:
            logit = box.logit(pixels, question)
        balances, (by_pixel, by_embedding) = ledger.close(logit, (pixels, question))
    scores = to_scores(box, pixels * by_pixel, question * by_embedding)
    return scores, float(logit.detach()), balances


@dataclass(frozen=True)
class AttnLrp:
    """Layer-wise relevance propagation through both towers."""

    name: ClassVar[str] = "attn-lrp"
    reference: ClassVar[str] = "Achtibat et al. 2024, arXiv 2402.05602"
    cost: ClassVar[str] = "1 forward, 1 backward, one layer's attention weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "attention"})
    passes: ClassVar[Passes] = Passes(1, 1)
    deterministic: ClassVar[bool] = True

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain the target's logit; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        scores, logit, balances = relevance(box)
        details: Details = {
            "conservation_error": max(balance.error for balance in balances),
            "logit": logit,
            "share": float(scores.sum()) / logit if logit else 0.0,
        }
        return Attribution(scores, box.players, self.name, target, n_evaluations=1, n_gradients=1, details=details)
