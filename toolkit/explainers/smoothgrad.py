"""SmoothGrad x Input: Input x Gradient with the gradient averaged over noisy copies of the input.

    score_i = sum over the inputs j of player i of  x_j * mean_n d log P / d x_j (x + e_n),   e_n ~ N(0, sd^2)

with sd = ``level`` times the range (max - min) of the pixels, and of the embeddings, respectively.

Reference: Smilkov et al., 2017, arXiv 1706.03825.
Adapted for autoregressive VLMs: both modalities get noise at once, relative to their own range; the averaged gradient
is multiplied by the input, so that a score is signed and sums over a player's pixels. Noise comes from the explainer's
own generator, so a seed repeats it (captum's noise tunnel draws from torch's global state).
Cost: ``samples`` forward and backward rows, in batches that fit in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.gradients import gradients, noisy, rows_that_fit, to_scores
from toolkit.games.attribution import Attribution
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class SmoothGrad:
    """Input times the gradient of log P(target), averaged over noise.

    Attributes:
        samples: Noisy copies.
        level: Noise sd as a fraction of each modality's range.
        max_batch: Rows per backward pass at most; fewer where memory is short.
    """

    samples: int = 16
    level: float = 0.1
    max_batch: int = 16

    name: ClassVar[str] = "smoothgrad"
    reference: ClassVar[str] = "Smilkov et al. 2017, arXiv 1706.03825"
    cost: ClassVar[str] = "16 forward and 16 backward rows"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        if self.samples < 1 or self.level < 0:
            raise ValueError(f"expected samples >= 1 and level >= 0, got {self.samples} and {self.level}")

    def passes(self, n: int) -> Passes:
        """One forward and one backward row per draw."""
        return Passes(self.samples, self.samples)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain log P(target)."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        batch = rows_that_fit(box, wanted=min(self.max_batch, self.samples))
        pixels = noisy(box.pixels, self.samples, self.level, rng)
        question = noisy(box.question, self.samples, self.level, rng)
        by_pixel, by_embedding = torch.zeros_like(box.pixels), torch.zeros_like(box.question)
        for start in range(0, self.samples, batch):
            rows = slice(start, start + batch)
            g_pixels, g_question = gradients(box, pixels[rows], question[rows])
            by_pixel = by_pixel + g_pixels.sum(0, keepdim=True) / self.samples
            by_embedding = by_embedding + g_question.sum(0, keepdim=True) / self.samples
        scores = to_scores(box, box.pixels * by_pixel, box.question * by_embedding)
        n = self.samples
        return Attribution(scores, box.players, self.name, target, n_evaluations=n, n_gradients=n)
