"""LLaVA-CAM: Grad-CAM averaged over noisy copies of the picture.

    score = mean over n of GradCAM(picture + e_n),   e_n ~ N(0, sd^2),   sd = 0.1 x the range of the pixels

Reference: Zhang et al., 2024, arXiv 2406.06579 (which smooths Grad-CAM as SmoothGrad smooths a gradient).
Adapted for autoregressive VLMs: same layer and same signed map as our Grad-CAM, so that the two differ by the noise
alone; the question is not perturbed, but its map is averaged too. Noise comes from the explainer's own generator.
Cost: ``samples`` forward and backward rows, in batches that fit in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.grad_cam import DEPTH
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.cam import activation_map, layer_index
from toolkit.explainers.internals.gradients import noisy, rows_that_fit
from toolkit.games.attribution import Attribution, Details
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class LlavaCam:
    """Smoothed Grad-CAM.

    Attributes:
        samples: Noisy copies.
        level: Noise sd as a fraction of the pixels' range.
        depth: Fraction of the decoder's depth in [0, 1].
        rectify: Set negative scores to zero, as the original does.
    """

    samples: int = 10
    level: float = 0.1
    depth: float = DEPTH
    rectify: bool = False

    name: ClassVar[str] = "llava-cam"
    reference: ClassVar[str] = "Zhang et al. 2024, arXiv 2406.06579"
    cost: ClassVar[str] = "10 forwards, 10 backwards"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "activations"})

    def __post_init__(self) -> None:
        if self.samples < 1 or self.level < 0:
            raise ValueError(f"expected samples >= 1 and level >= 0, got {self.samples} and {self.level}")

    def passes(self, n: int) -> Passes:
        """One forward and one backward row per draw."""
        return Passes(self.samples, self.samples)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain the target's logit around the picture."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        batch = rows_that_fit(box, wanted=self.samples)
        images = noisy(box.pixels, self.samples, self.level, rng)
        maps = torch.cat([activation_map(box, some, self.depth) for some in torch.split(images, batch)])
        scores = maps.mean(0).cpu().numpy()
        scores = np.maximum(scores, 0) if self.rectify else scores
        layer = layer_index(len(anatomy(box.model).decoder_layers), self.depth)
        details: Details = {"layer": layer, "noise_level": self.level}
        n = self.samples
        return Attribution(scores, box.players, self.name, target, n_evaluations=n, n_gradients=n, details=details)
