"""Last-layer attention: where the predicting position looks in the decoder's last layer.

    score_i = mean over heads of A_L[predicting position, position of player i]

The simplest map that papers show; a control for explainers that do more with attention. It ignores the target and the
vision tower: an image token counts as its own cell, although the tower has mixed the picture before.
Scores are non-negative by construction.

Reference: control; see Jain and Wallace, 2019, arXiv 1902.10186 on what attention does not explain.
Cost: one forward pass; memory of one layer's weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.attention import trace
from toolkit.games.attribution import Attribution
from toolkit.games.target import Sentence
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class AttentionLast:
    """Head-mean attention of the last decoder layer."""

    name: ClassVar[str] = "attention-last"
    reference: ClassVar[str] = "control; Jain and Wallace 2019, arXiv 1902.10186"
    cost: ClassVar[str] = "1 forward, one layer's attention weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    passes: ClassVar[Passes] = Passes(1)
    deterministic: ClassVar[bool] = True

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Read attention; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline, refused=(Sentence,))
        (call,) = trace(box, gradient=False).decoder[-1]
        row = call.weights()[0, :, -len(box.target_ids)].double().mean(0)  # the position that predicts the target
        scores = torch.cat([row[box.image_positions], row[box.text_positions]]).cpu().numpy()
        return Attribution(scores, box.players, self.name, target, n_evaluations=1)
