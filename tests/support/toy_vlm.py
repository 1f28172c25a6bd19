"""A model small enough to solve by hand: p(yes) = 1/2 + sum a_i m_i + sum b_j u_j + sum c_ij m_i u_j.

``m_i`` is the mean of image cell i (2 x 2 cells of 2 x 2 pixels, values in [0, 1]) and ``u_j`` the first component of
word j's embedding (1 for every word, 0 for the padding token). Removed players count as 0, so v(S) is the same
polynomial and every gradient, integral and Shapley value is known in closed form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from toolkit.datasets.sample import Sample, Truth
from toolkit.games.game import Players
from toolkit.typing import Coalitions, Regions, Values
from toolkit.vlm.protocol import Answer

A = (0.10, -0.05, 0.02, 0.0)
B = (0.08, -0.03, 0.0)
C = ((0.12, 0.0, 0.0), (0.0, -0.06, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
CELLS = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 0.5], [0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]])


class Polynomial(nn.Module):
    def __init__(self, a: object = A, b: object = B, c: object = C) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(b, dtype=torch.float64))
        self.c = nn.Parameter(torch.tensor(c, dtype=torch.float64))
        self.pool = nn.AvgPool2d(2)

    def forward(self, pixels: Tensor, question: Tensor) -> Tensor:
        m = self.pool(pixels).flatten(1)
        u = question[..., 0]
        return 0.5 + m @ self.a + u @ self.b + torch.einsum("bi,ij,bj->b", m, self.c, u)


@dataclass
class ToyGame:
    vlm: ToyVLM
    sample: Sample
    target: str
    baseline: str
    n_evaluations: int = 0

    @property
    def players(self) -> Players:
        return self.vlm.players(self.sample)

    def __call__(self, coalitions: Coalitions) -> Values:
        box = self.vlm.white_box(self.sample, target=self.target)
        image = torch.from_numpy(coalitions[:, :4].astype(np.float64))
        text = torch.from_numpy(coalitions[:, 4:].astype(np.float64))
        mask = image.reshape(-1, 1, 2, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        self.n_evaluations += len(coalitions)
        with torch.no_grad():
            return box.score(box.pixels * mask, box.question * text[..., None]).exp().numpy()


@dataclass
class ToyBox:
    players: Players
    pixels: Tensor
    question: Tensor
    model: Polynomial
    yes: bool
    target_ids: tuple[int, ...] = (0,)
    baseline_pixels: Tensor = field(init=False)
    baseline_question: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.baseline_pixels = torch.zeros_like(self.pixels)
        self.baseline_question = torch.zeros_like(self.question)

    def logit(self, pixels: Tensor, question: Tensor) -> Tensor:
        p = self.model(pixels, question)
        return p if self.yes else 1 - p

    def score(self, pixels: Tensor, question: Tensor) -> Tensor:
        return self.logit(pixels, question).log()

    def pixels_to_players(self, attribution: Tensor) -> Tensor:
        return 4 * nn.functional.avg_pool2d(attribution, 2).flatten(1)

    @property
    def image_positions(self) -> Tensor:
        return torch.arange(4)

    @property
    def text_positions(self) -> Tensor:
        return torch.arange(4, 4 + self.question.shape[1])


class ToyVLM:
    name = "toy"
    family = "toy"
    revision = None

    def __init__(self, a: object = A, b: object = B, c: object = C) -> None:
        self.model = Polynomial(a, b, c)

    def players(self, sample: Sample) -> Players:
        return Players.make(("c00", "c01", "c10", "c11"), tuple(sample.question.split()))

    def regions(self, sample: Sample) -> Regions:
        return CELLS

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        return tuple(m.span() for m in re.finditer(r"\S+", sample.question))

    def answer(self, sample: Sample) -> Answer:
        box = self.white_box(sample, target="yes")
        with torch.no_grad():
            p = float(box.logit(box.pixels, box.question))
        text, best = ("yes", p) if p >= 0.5 else ("no", 1 - p)
        return Answer(text, best, (0,), {"yes": p, "no": 1 - p})

    def game(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> ToyGame:
        return ToyGame(self, sample, target or self.answer(sample).text, baseline)

    def white_box(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> ToyBox:
        array = np.asarray(sample.image.convert("L").resize((4, 4), Image.Resampling.NEAREST), dtype=np.float64) / 255
        question = torch.zeros(1, len(sample.question.split()), 3, dtype=torch.float64)
        question[..., 0] = 1
        yes = (target or self.answer(sample).text) == "yes"
        return ToyBox(self.players(sample), torch.from_numpy(array)[None, None], question, self.model, yes)

    def masked_image(self, sample: Sample, coalition: Coalitions, *, baseline: str = "blur") -> Image.Image:
        return sample.image


def toy_sample(id: str = "toy-0", *, truth: bool = True) -> Sample:
    """Cell means 1, 0.8, 0.4, 0.2; the evidence is cell 0 and word 0."""
    grey = np.kron(np.array([[255, 204], [102, 51]], dtype=np.uint8), np.ones((2, 2), dtype=np.uint8))
    return Sample(
        id=id,
        image=Image.fromarray(grey).convert("RGB"),
        question="red circle ?",
        choices=("yes", "no"),
        answer="yes",
        dataset="toy",
        truth=_truth() if truth else None,
    )


def _truth() -> Truth:
    from toolkit.datasets.sample import Corners

    return Truth("synergy", ((0.0, 0.0, 0.5, 0.5),), (0,), Corners(1.0, 0.5, 0.5, 0.5))


MEANS = np.array([1.0, 0.8, 0.4, 0.2])
