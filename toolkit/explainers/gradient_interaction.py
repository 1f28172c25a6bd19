"""Integrated gradients of the image, differenced over the words: pairs from gradients.

    a(T) = IG of the image's cells, from the baseline picture to the picture, beside the words T       (n_image,)
    pairs_ij = 1/2 [ (a(all) - a(all - j))_i + (a({j}) - a(nobody))_i ]

A cell is given what word j changes in its integrated gradient, with all other words there and with none of them. The
sum over the cells is word j's interaction with the whole picture in these two contexts, which the explainer checks:
``convergence_delta`` is the largest distance over the words.

Reference: integrated Hessians, Janizek et al., 2021, arXiv 2002.04138, whose derivative by the second player is here
its finite difference, since a word is there or not.
Adapted for autoregressive VLMs: an absent word is the padding token's embedding, visible to attention, as in
``integrated-gradients``; the game masks it.
Cost: ``steps`` gradient rows for each of 2 + 2 n_text questions (6 words: 224).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.gradients import rows_that_fit
from toolkit.games.attribution import Details, InteractionAttribution
from toolkit.vlm.protocol import VLM, WhiteBox


@dataclass(frozen=True)
class GradientInteraction:
    """Cross-modal pairs from gradients of the image.

    Attributes:
        steps: Nodes of the quadrature (Gauss-Legendre) from the baseline picture to the picture.
        max_batch: Gradient rows at once, at most.
        accepted_delta: Where ``convergence_delta`` is larger, ``details`` say ``converged`` 0: more steps are needed.
    """

    steps: int = 16
    max_batch: int = 32
    accepted_delta: float = 0.05

    name: ClassVar[str] = "gradient-interaction"
    reference: ClassVar[str] = "after Janizek et al. 2021, arXiv 2002.04138"
    cost: ClassVar[str] = "16 gradient rows for each of 2 + 2 n_text questions (6 words: 224)"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 1 or self.max_batch < 1:
            raise ValueError(f"expected steps and max_batch of at least 1, got {self.steps} and {self.max_batch}")

    def passes(self, n: int, n_text: int | None = None) -> Passes:
        """Rows for n players, of whom ``n_text`` are words; where that is not known, as if all were."""
        questions = 2 + 2 * (n if n_text is None else n_text)
        return Passes((self.steps + 2) * questions, self.steps * questions)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> InteractionAttribution:
        """Explain v; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        n = box.players.n_text
        there = np.concatenate([np.ones((1, n)), np.zeros((1, n)), 1 - np.eye(n), np.eye(n)]).astype(np.bool_)
        maps = np.stack([self._integrated(box, question) for question in _questions(box, there)])
        everyone, nobody, without, alone = maps[0], maps[1], maps[2 : n + 2], maps[n + 2 :]
        pairs = ((everyone - without) + (alone - nobody)).T / 2
        ends = _gains(box, there)
        expected = ((ends[0] - ends[2 : n + 2]) + (ends[n + 2 :] - ends[1])) / 2
        rows, delta = self.steps * len(there), float(np.abs(pairs.sum(axis=0) - expected).max())
        details: Details = {
            "steps": self.steps, "accepted_delta": self.accepted_delta, "converged": int(delta <= self.accepted_delta)
        }  # fmt: skip
        return InteractionAttribution.from_pairs(
            pairs, box.players, self.name, target, n_evaluations=rows + 2 * len(there), n_gradients=rows,
            convergence_delta=delta, details=details,
        )  # fmt: skip

    def _integrated(self, box: WhiteBox, question: Tensor) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Integrated gradients (n_image,) of the image's cells beside a question (1, n_text, dim)."""
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        batch = rows_that_fit(box, wanted=self.max_batch)
        difference, total = box.pixels - box.baseline_pixels, torch.zeros(1, box.players.n_image, dtype=torch.float64)
        for start in range(0, self.steps, batch):
            here = slice(start, start + batch)
            shape = (-1, *[1] * (box.pixels.dim() - 1))
            where = torch.tensor((nodes[here] + 1) / 2, dtype=box.pixels.dtype, device=box.pixels.device).view(shape)
            pixels = (box.baseline_pixels + where * difference).requires_grad_()
            values = box.value(pixels, question.expand(len(where), -1, -1))
            (gradient,) = torch.autograd.grad(values.sum(), pixels)
            by_cell = box.pixels_to_players(gradient * difference).double().cpu()
            total += (torch.from_numpy(weights[here] / 2)[:, None] * by_cell).sum(dim=0)
        return np.asarray(total[0].numpy())


def _questions(box: WhiteBox, there: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> list[Tensor]:
    """Question embeddings (1, n_text, dim) with some words there and padding for the others."""
    masks = torch.from_numpy(there).to(box.question.device)[:, None, :, None]
    return [torch.where(mask, box.question, box.baseline_question) for mask in masks]


def _gains(
    box: WhiteBox, there: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """v(picture, words) - v(baseline picture, words) of each set of words."""
    with torch.no_grad():
        ends = [
            float((box.value(box.pixels, question) - box.value(box.baseline_pixels, question))[0])
            for question in _questions(box, there)
        ]
    return np.array(ends)
