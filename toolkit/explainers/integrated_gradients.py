"""Integrated gradients: input minus baseline, times the gradient averaged along the straight path.

    score_i = sum over inputs j of player i of (x_j - b_j) * integral_0^1 d P / d x_j (b + a (x - b)) da

The scores sum to P(target | x) - P(target | b). That equality is the check of the numerical integral: the number of
steps is doubled until the *convergence delta* |sum of scores - (P(x) - P(b))| is small, and the delta is kept. Where it
is not small at the most steps, a :class:`NotConvergedWarning` says so: the map is then no integral of this path.

Reference: Sundararajan et al., 2017, arXiv 1703.01365; through captum.
Adapted for autoregressive VLMs: pixels and question embeddings travel together; the baseline picture is the game's
(blur, mean, noise) and the baseline word is the padding token's embedding. A padded word is visible to attention here,
unlike in the game, which masks it; so P(b) need not equal the game's v(nobody).
Cost: 8 + 16 + ... + n steps, each one forward and one backward row, in batches that fit in memory.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.gradients import leaf, rows_that_fit, to_scores
from toolkit.games.attribution import Attribution
from toolkit.vlm.protocol import VLM


class NotConvergedWarning(RuntimeWarning):
    """The scores do not add up to what they are said to: more steps are needed."""


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated gradients of P(target) with as many steps as the convergence delta asks for.

    Attributes:
        tolerance: Accepted delta as a fraction of |P(x) - P(b)|, which counts as at least ``floor``.
        floor: Smallest difference in probability that the tolerance refers to.
        first_steps: Steps of the first attempt; doubled after each one that is not accurate enough.
        max_steps: No more than this many; where the delta is then still too large, it warns. Preset ``correct`` takes
            1,024.
        max_batch: Rows per backward pass at most; fewer where memory is short.
    """

    tolerance: float = 0.02
    floor: float = 0.05
    first_steps: int = 8
    max_steps: int = 256
    max_batch: int = 32

    name: ClassVar[str] = "integrated-gradients"
    reference: ClassVar[str] = "Sundararajan et al. 2017, arXiv 1703.01365"
    cost: ClassVar[str] = "8 to 504 forward and backward rows, by the convergence delta"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (self.tolerance > 0 and self.floor > 0 and 1 <= self.first_steps <= self.max_steps):
            raise ValueError(f"expected tolerance, floor > 0 and 1 <= first_steps <= max_steps, got {self}")

    def passes(self, n: int) -> Passes:
        """Every attempt up to ``max_steps``, and the two ends."""
        attempts = range(1 + int(math.log2(self.max_steps / self.first_steps)))
        rows = sum(self.first_steps << i for i in attempts)
        return Passes(rows + 2, rows)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain v, which is P(target) but of logarithms; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        batch = rows_that_fit(box, wanted=self.max_batch)

        with torch.no_grad():
            nothing = box.value(box.baseline_pixels, box.baseline_question)
            gain = float(box.value(box.pixels, box.question) - nothing)
        captum = CaptumIntegratedGradients(box.value)
        accepted = self.tolerance * max(abs(gain), self.floor)
        steps, spent = self.first_steps, 0
        while True:
            by_pixel, by_embedding = captum.attribute(
                (leaf(box.pixels), leaf(box.question)),
                baselines=(box.baseline_pixels, box.baseline_question),
                n_steps=steps,
                internal_batch_size=batch,
            )
            scores = to_scores(box, by_pixel, by_embedding)
            spent += steps
            delta = abs(float(scores.sum()) - gain)
            if delta <= accepted or 2 * steps > self.max_steps:
                break
            steps *= 2
        if delta > accepted:
            warnings.warn(
                f"{self.name} has not converged after {steps} steps on some samples, whose maps have converged = 0 in "
                f"their details; set max_steps above {self.max_steps}",
                NotConvergedWarning,
                stacklevel=2,
            )
        return Attribution(
            scores,
            box.players,
            self.name,
            target,
            n_evaluations=spent + 2,
            n_gradients=spent,
            convergence_delta=delta,
            details={"steps": steps, "gain": gain, "accepted_delta": accepted, "converged": int(delta <= accepted)},
        )
