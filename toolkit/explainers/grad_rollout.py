"""Grad x Rollout: rollout of the attention that the answer's logit depends on.

    E_l = row-normalised mean over heads of relu(d logit / d attention * attention)
    A_l = (E_l + identity) / 2,   R = A_L ... A_1

Not ``normalised``, A_l = mean over heads of relu(...) + identity, which is Chefer's rule R <- R + E R. The rows scaled
to one are those of Abnar and Zuidema's rollout (arXiv 2005.00928), and the default here.

Reference: Chefer et al., 2021, arXiv 2103.15679 (without row normalisation).
Adapted for autoregressive VLMs: the logit of the scored token, the predicting position's row, then on through the
vision tower as in rollout. E_l is normalised before the identity is added, as rollout's attention is by nature: a
gradient has no scale of its own, and rows with a large one would otherwise give most of their mass away. The gradient
of the weights is computed from the gradient of the attention's *output*, so no layer's weights are ever stored.
Scores are non-negative by construction: the rectifier keeps what speaks for the answer.
Cost: two forward passes (the first measures memory), one more of the vision tower, one backward pass and two small
ones (projector only) per binary digit of the number of image players; memory of one backward pass with the model's own
attention plus one layer's weights and their gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.anatomy import merge_of
from toolkit.explainers.internals.attention import rollout, trace
from toolkit.explainers.internals.gradients import rows_that_fit
from toolkit.games.attribution import Attribution, Details
from toolkit.games.target import Sentence
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class GradRollout:
    """Rollout of gradient-weighted attention.

    Attributes:
        normalised: Scale rows to one as attention rollout does; False is the rule of arXiv 2103.15679 itself.
    """

    normalised: bool = True

    name: ClassVar[str] = "grad-rollout"
    reference: ClassVar[str] = "Chefer et al. 2021, arXiv 2103.15679"
    cost: ClassVar[str] = "3 forwards, 1 backward, one layer's attention weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention", "gradients"})
    passes: ClassVar[Passes] = Passes(3, 1)
    deterministic: ClassVar[bool] = True

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Roll gradient-weighted attention of the target's logit; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline, refused=(Sentence,))
        rows_that_fit(box, wanted=1)
        rolled = rollout(box, trace(box, gradient=True), merge_of(box), by_gradient=True, normalised=self.normalised)
        scores = torch.cat([rolled.image, rolled.text]).cpu().numpy()
        share = float(scores.sum())
        details: Details = {"row_sum": float(rolled.decoder.sum()), "share": share}
        return Attribution(scores, box.players, self.name, target, n_evaluations=3, n_gradients=1, details=details)
