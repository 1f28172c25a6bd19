"""Grad-CAM: activations of one layer, weighted by the pooled gradient of the answer's logit.

    alpha_c = mean over players p of d logit / d A[p, c],    score_p = sum over channels c of alpha_c A[p, c]

A is the output of the post-attention norm of one decoder layer, at 7/31 of the depth: layer 7 of 32, as the paper's
code sets for LLaVA-1.5-7B, and the corresponding layer elsewhere (the second of the four layers of a tiny model). A
fraction of depth is what the three families have in common. It must not be the last layer: what happens there at other
positions than the predicting one no longer reaches the answer, so the map would be exactly 0. An early layer still has
the picture at its own positions; ``GradCam(depth=...)`` compares others.

Reference: Selvaraju et al., 2017, arXiv 1610.02391.
Adapted for autoregressive VLMs: "space" is the sequence, the pooling runs over image and text players together, so
that both share one scale. The rectifier at the end of the original is left out because a score is signed everywhere in
this toolkit; ``rectify=True`` puts it back.
Cost: one forward and one backward pass; memory of one backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.cam import activation_map, layer_index
from toolkit.explainers.internals.gradients import rows_that_fit
from toolkit.games.attribution import Attribution, Details
from toolkit.vlm.protocol import VLM

DEPTH = 7 / 31
"""Fraction of the decoder's depth: layer 7 of 32."""


@dataclass(frozen=True)
class GradCam:
    """Grad-CAM at one decoder layer.

    Attributes:
        depth: Fraction of the decoder's depth in [0, 1].
        rectify: Set negative scores to zero, as the original does.
    """

    depth: float = DEPTH
    rectify: bool = False

    name: ClassVar[str] = "grad-cam"
    reference: ClassVar[str] = "Selvaraju et al. 2017, arXiv 1610.02391"
    cost: ClassVar[str] = "1 forward, 1 backward"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "activations"})
    passes: ClassVar[Passes] = Passes(1, 1)
    deterministic: ClassVar[bool] = True

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain the target's logit; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        rows_that_fit(box, wanted=1)
        scores = activation_map(box, box.pixels, self.depth)[0].cpu().numpy()
        layer = layer_index(len(anatomy(box.model).decoder_layers), self.depth)
        scores = np.maximum(scores, 0) if self.rectify else scores
        details: Details = {"layer": layer}
        return Attribution(scores, box.players, self.name, target, n_evaluations=1, n_gradients=1, details=details)
