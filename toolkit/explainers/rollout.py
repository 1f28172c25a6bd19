"""Attention rollout: attention multiplied through the layers, from the predicting position down to the inputs.

    A_l = row-normalised (mean over heads of attention + identity),    R = A_L A_{L-1} ... A_1

The decoder's row of the predicting position gives each question token its score. The mass on the image tokens goes on
through the vision tower: spread evenly over the patches that an image token merges, rolled down the tower's layers
(windows are blocks of A_l), and collected at each player's own patches.

Reference: Abnar and Zuidema, 2020, arXiv 2005.00928.
Adapted for autoregressive VLMs: one row instead of the whole matrix, since only one position predicts; two towers; the
order of patches, windows and merges is read off the computation. What ends on class and template tokens belongs to no
player. Scores are non-negative by construction: attention cannot speak against an answer, and it ignores the target.
Cost: one forward pass, one more of the vision tower, and two small backward passes (projector only) per binary digit
of the number of image players; memory of plain inference plus one layer's weights.
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
from toolkit.games.attribution import Attribution, Details
from toolkit.games.target import Sentence
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class Rollout:
    """Attention rollout through decoder and vision tower."""

    name: ClassVar[str] = "rollout"
    reference: ClassVar[str] = "Abnar and Zuidema 2020, arXiv 2005.00928"
    cost: ClassVar[str] = "2 forwards, one layer's attention weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    passes: ClassVar[Passes] = Passes(2)
    deterministic: ClassVar[bool] = True

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Roll attention; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline, refused=(Sentence,))
        rolled = rollout(box, trace(box, gradient=False), merge_of(box), by_gradient=False)
        scores = torch.cat([rolled.image, rolled.text]).cpu().numpy()
        share = float(scores.sum())
        details: Details = {"row_sum": float(rolled.decoder.sum()), "share": share}
        return Attribution(scores, box.players, self.name, target, n_evaluations=2, details=details)
