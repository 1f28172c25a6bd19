"""Optimised masks: the mask that keeps the answer where it shows, and destroys it where it hides.

    maximise over m in [0, 1]^n_players:   v(x_m) - v(x_(1 - m)) - sparsity * mean(m)

x_m is the input between the baseline and the sample: player i shows m_i of the sample, in pixels or embeddings. The
score of a player is its m_i: non-negative by construction.

Reference: iGOS++, Khorram, Lawson and Li, 2021, arXiv 2012.15783: deletion and insertion together, with L1. One mask
serves both, as where it is applied to vision-language models (Xing et al., 2025, arXiv 2503.13891).
Left out of iGOS++: the two masks, scored apart and as a product; integrated gradients and line search (Adam on the
logits of m takes ordinary gradients); the bilateral total variation (players are already as large as the mask's cells);
the noise on the image. Added: words are masked together with cells.
Cost: 2 forward and 2 backward rows a step; memory of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.gradients import check_fits, leaf, row_bytes
from toolkit.games.attribution import Attribution
from toolkit.vlm.memory import free_bytes
from toolkit.vlm.protocol import VLM, WhiteBox


def objective(inserted: Tensor, deleted: Tensor, mask: Tensor, sparsity: float) -> Tensor:
    """What is maximised, from both values and the mask (n_players,)."""
    return inserted - deleted - sparsity * mask.mean()


@dataclass(frozen=True)
class OptimisedMask:
    """One mask for insertion and deletion, by gradient ascent.

    Attributes:
        steps: Steps of Adam.
        rate: Its learning rate, in logits of the mask.
        sparsity: Weight of the mask's mean.
    """

    steps: int = 20
    rate: float = 0.3
    sparsity: float = 0.1

    name: ClassVar[str] = "optimised-mask"
    reference: ClassVar[str] = "iGOS++, Khorram et al. 2021, arXiv 2012.15783; for VLMs arXiv 2503.13891"
    cost: ClassVar[str] = "40 forward and 40 backward rows"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rate <= 0 or self.sparsity < 0:
            raise ValueError(
                f"optimised-mask: expected steps >= 1, rate > 0 and sparsity >= 0, got {self.steps}, {self.rate} and "
                f"{self.sparsity}"
            )

    def passes(self, n: int) -> Passes:
        """Insertion and deletion in every step."""
        return Passes(2 * self.steps, 2 * self.steps)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain v, which is P(target) but of logarithms; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        needed, free = 2 * row_bytes(box), free_bytes(box.pixels.device)
        check_fits(needed, free, what="two backward rows", model=box.model)
        logits = torch.zeros(box.players.n, device=box.pixels.device, requires_grad=True)
        adam = torch.optim.Adam([logits], lr=self.rate)
        values = []
        for _ in range(self.steps):
            with torch.enable_grad():
                mask = logits.sigmoid()
                inserted, deleted = self._values(box, mask)
                value = objective(inserted, deleted, mask, self.sparsity)
            values.append(float(value.detach()))
            logits.grad = torch.autograd.grad(-value, logits)[0]
            adam.step()
        scores = logits.detach().sigmoid().cpu().numpy()
        n = 2 * self.steps
        details: dict[str, float | int | str | list[float]] = {"objective": values}
        return Attribution(scores, box.players, self.name, target, n_evaluations=n, n_gradients=n, details=details)

    def _values(self, box: WhiteBox, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The value where a mask (n_players,) shows the sample, and where it hides it."""
        shares = torch.stack([mask, 1 - mask])
        by_pixel = _spread(box, shares[:, : box.players.n_image])
        by_word = shares[:, box.players.n_image :, None].to(box.question)
        pixels = box.baseline_pixels + by_pixel * (box.pixels - box.baseline_pixels)
        question = box.baseline_question + by_word * (box.question - box.baseline_question)
        inserted, deleted = box.value(pixels, question).float()
        return inserted, deleted


def _spread(box: WhiteBox, shares: Tensor) -> Tensor:
    """Each image player's share (B, n_image) at each of its pixels (B, *pixel_shape): the adjoint of their sum."""
    ones = leaf(box.pixels.expand(len(shares), *box.pixels.shape[1:]))
    with torch.enable_grad():
        total = (box.pixels_to_players(ones) * shares.to(ones)).sum()
        (spread,) = torch.autograd.grad(total, ones, create_graph=True)
    return spread
