"""Integrated gradients: input minus baseline, times the gradient averaged along the straight path.

    score_i = sum over inputs j of player i of (x_j - b_j) * integral_0^1 d P / d x_j (b + a (x - b)) da

The scores sum to P(target | x) - P(target | b), and so does every part of the path: between any two of its points the
scores sum to the change of P. Simpson's rule is therefore told its error on every interval by two values of P, and an
interval that is off is halved, which reuses its three rows and adds two. The path is done when the errors of all
intervals, without their signs, sum to less than is accepted. The *convergence delta* |sum of scores - (P(x) - P(b))| is
kept. Where it is too large at the most steps, a :class:`NotConvergedWarning` says so: the map is then no integral of
this path.

Reference: Sundararajan et al., 2017, arXiv 1703.01365; a fixed number of ``steps`` is Captum's Gauss-Legendre rule.
Adapted for autoregressive VLMs: pixels and question embeddings travel together; the baseline picture is the game's
(blur, mean, noise) and the baseline word is the padding token's embedding. A padded word is visible to attention here,
unlike in the game, which masks it; so P(b) need not equal the game's v(nobody).
Cost: 9 rows and two for each halved interval, each row one forward and one backward, in batches that fit in memory. A
spike of the gradient costs two rows per halving. Doubling the steps of one rule for the whole path took five times as
many on the embedded LLaVA and Qwen2.5-VL, and 504 rows were too few for InternVL's spike at the baseline.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.gradients import leaf, rows_that_fit, to_scores
from toolkit.games.attribution import Attribution
from toolkit.typing import Scores
from toolkit.vlm.protocol import VLM, WhiteBox

Floats = NDArray[np.float64]
FIRST_INTERVALS = 4


class NotConvergedWarning(RuntimeWarning):
    """The scores do not add up to what they are said to: more steps are needed."""


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated gradients of P(target) with as many steps as the change of P along the path asks for.

    Attributes:
        tolerance: Accepted delta as a fraction of |P(x) - P(b)|, which counts as at least ``floor``.
        floor: Smallest difference in probability that the tolerance refers to.
        steps: None halves intervals until the scores add up; a number takes the Gauss-Legendre rule of so many nodes
            once, whatever its error.
        max_steps: No more rows than this; where the delta is then still too large, it warns. Preset ``correct`` takes
            1,024.
        max_batch: Rows per backward pass at most; fewer where memory is short.
    """

    tolerance: float = 0.02
    floor: float = 0.05
    steps: int | None = None
    max_steps: int = 256
    max_batch: int = 32

    name: ClassVar[str] = "integrated-gradients"
    reference: ClassVar[str] = "Sundararajan et al. 2017, arXiv 1703.01365"
    cost: ClassVar[str] = "9 to 256 forward and backward rows, by the convergence delta"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        fixed_ok = self.steps is None or self.steps >= 1
        if not (self.tolerance > 0 and self.floor > 0 and fixed_ok and self.max_steps > 2 * FIRST_INTERVALS):
            raise ValueError(f"expected tolerance, floor > 0, steps >= 1 or None and max_steps >= 9, got {self}")

    def passes(self, n: int) -> Passes:
        """The most rows; a fixed number of steps has the two ends beside them."""
        return Passes(self.max_steps, self.max_steps) if self.steps is None else Passes(self.steps + 2, self.steps)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain v, which is P(target) but of logarithms; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        batch = rows_that_fit(box, wanted=self.max_batch)
        if self.steps is None:
            scores, gain, steps = self._halving(box, batch)
        else:
            scores, gain, steps = *_gauss_legendre(box, self.steps, batch), self.steps
        delta, accepted = abs(float(scores.sum()) - gain), self._accepted(gain)
        if delta > accepted:
            warnings.warn(
                f"{self.name} has not converged after {steps} steps on some samples, whose maps have converged = 0 in "
                f"their details; set {'steps' if self.steps else 'max_steps'} above {self.steps or self.max_steps}",
                NotConvergedWarning,
                stacklevel=2,
            )
        return Attribution(
            scores,
            box.players,
            self.name,
            target,
            n_evaluations=steps if self.steps is None else steps + 2,
            n_gradients=steps,
            convergence_delta=delta,
            details={"steps": steps, "gain": gain, "accepted_delta": accepted, "converged": int(delta <= accepted)},
        )

    def _accepted(self, gain: float) -> float:
        return self.tolerance * max(abs(gain), self.floor)

    def _halving(self, box: WhiteBox, batch: int) -> tuple[Scores, float, int]:
        """Scores, P(x) - P(b) and the rows spent; the worst intervals first where not all may be halved."""
        at = np.linspace(0, 1, 2 * FIRST_INTERVALS + 1)
        slopes, values = _along(box, at, batch)
        accepted = self._accepted(gain := float(values[-1] - values[0]))
        while True:
            parts = np.diff(at[::2])[:, None] / 6 * (slopes[:-2:2] + 4 * slopes[1::2] + slopes[2::2])
            off = np.abs(parts.sum(axis=1) - np.diff(values[::2]))
            worst = np.argsort(-off)[: (self.max_steps - len(at)) // 2]
            halved = np.sort(worst[off[worst] > accepted / len(off)])
            if off.sum() <= accepted or not halved.size:
                return parts.sum(axis=0), gain, len(at)
            # A point on both sides of a halved interval's middle: the middles of the two new intervals.
            before = np.stack([2 * halved + 1, 2 * halved + 2], axis=1).ravel()
            new = (at[before - 1] + at[before]) / 2
            new_slopes, new_values = _along(box, new, batch)
            at, slopes = np.insert(at, before, new), np.insert(slopes, before, new_slopes, axis=0)
            values = np.insert(values, before, new_values)


def _along(box: WhiteBox, at: Floats, batch: int) -> tuple[Floats, Floats]:
    """What each player adds to the slope of P at points of the path, shape (n, n_players), and P there, shape (n,)."""
    steps = box.pixels - box.baseline_pixels, box.question - box.baseline_question
    slopes, values = [], []
    for some in torch.split(torch.from_numpy(at), batch):
        pixels, question = (
            leaf(start + some.to(start).view(-1, *[1] * (start.dim() - 1)) * step)
            for start, step in zip((box.baseline_pixels, box.baseline_question), steps, strict=True)
        )
        with torch.enable_grad():
            value = box.value(pixels, question)
        by_pixel, by_embedding = torch.autograd.grad(value.sum(), (pixels, question))
        image = box.pixels_to_players((by_pixel * steps[0]).double())
        slopes.append(torch.cat([image, (by_embedding * steps[1]).double().sum(dim=-1)], dim=1).cpu())
        values.append(value.detach().double().cpu())
    return torch.cat(slopes).numpy(), torch.cat(values).numpy()


def _gauss_legendre(box: WhiteBox, steps: int, batch: int) -> tuple[Scores, float]:
    """Scores by Captum's rule of so many nodes, and P(x) - P(b)."""
    from captum.attr import IntegratedGradients as Captum

    with torch.no_grad():
        nothing = box.value(box.baseline_pixels, box.baseline_question)
        gain = float(box.value(box.pixels, box.question) - nothing)
    found = Captum(box.value).attribute(
        (leaf(box.pixels), leaf(box.question)),
        baselines=(box.baseline_pixels, box.baseline_question),
        n_steps=steps,
        internal_batch_size=batch,
    )
    return to_scores(box, *found), gain
