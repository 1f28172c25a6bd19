"""Input x Gradient: the first-order effect of each input on the log-probability of the answer.

    score_i = sum over the inputs j of player i of  x_j * d log P(target) / d x_j

Reference: Shrikumar et al., "Not just a black box", 2016, arXiv 1605.01713.
Adapted for autoregressive VLMs: the inputs are the pixels that enter the vision tower and the input embeddings of the
question's tokens, in one backward pass; the output is the log-probability of the answer that the game scores.
Cost: one forward and one backward pass; memory of one backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.gradients import gradients, rows_that_fit, to_scores
from toolkit.games.attribution import Attribution
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class InputXGradient:
    """Input times gradient of log P(target)."""

    name: ClassVar[str] = "input-x-gradient"
    reference: ClassVar[str] = "Shrikumar et al. 2016, arXiv 1605.01713"
    cost: ClassVar[str] = "1 forward, 1 backward"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    passes: ClassVar[Passes] = Passes(1, 1)
    deterministic: ClassVar[bool] = True

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain log P(target); deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        rows_that_fit(box, wanted=1)
        by_pixel, by_embedding = gradients(box, box.pixels, box.question)
        scores = to_scores(box, by_pixel * box.pixels, by_embedding * box.question)
        return Attribution(scores, box.players, self.name, target, n_evaluations=1, n_gradients=1)
