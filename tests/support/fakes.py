"""The fake models of several tests: each is a :class:`toolkit.testing.FakeVLM` with a game that is solved by hand."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from toolkit.datasets.sample import Corners, Sample, Truth
from toolkit.explainers.oracle import covered
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import Players
from toolkit.testing import FakeVLM, fake_sample
from toolkit.vlm.adapters.adapter_base import grid_regions

# -- p(yes) follows a gate over one cell and two words of 6 x 6 cells ------------------------------------------------

EVIDENCE_CELL, EVIDENCE_WORDS = 8, (3, 4)
_BOTH, _READ = (EVIDENCE_CELL, 39, 40), (39, 40)
_CELLS = tuple(f"row {r + 1}, column {c + 1}" for r in range(6) for c in range(6))
_PAPER = Players.make(_CELLS, ("is", "there", "a", "red", "square", "?"))
_TERMS = {"and": {_BOTH: 0.45}, "text": {_READ: 0.45}}


def paper_vlm(gate: str = "and") -> FakeVLM:
    """``gate`` is "and" (grounded) or "text" (reads the words only)."""
    return FakeVLM(SumOfUnanimityGames(_PAPER, {(): 0.5, **_TERMS[gate]}), name=f"paper-{gate}")


# -- the grounded and the biased twin: by the evidence of the sample, or by its words alone --------------------------

SIDE = 4


class _KnownGame:
    """0.5 + 0.45 where all evidence is there, and a wobble of every player that depends on the baseline."""

    def __init__(self, sample: Sample, target: str, baseline: str, biased: bool) -> None:
        words = tuple(sample.question.split())
        self.players = Players.make(tuple(f"r{r}c{c}" for r in range(SIDE) for c in range(SIDE)), words)
        boxes = () if biased or sample.truth is None else sample.truth.evidence_boxes
        image = covered(grid_regions(SIDE, SIDE), boxes)
        self.needed = np.concatenate([image > 0, np.isin(np.arange(len(words)), (3, 4))])
        rng = np.random.default_rng(zlib.crc32(sample.id.encode()))
        self.wobble = 0.02 * rng.standard_normal(self.players.n) * {"blur": 1.0, "mean": 0.9}.get(baseline, 1.1)
        self.sign = 1 if target == sample.answer else -1

    def __call__(self, coalitions):
        certain = (coalitions | ~self.needed).all(axis=1)
        return 0.5 + self.sign * (0.45 * certain + 0.05 * np.tanh(coalitions @ self.wobble))


class KnownVLM(FakeVLM):
    """Takes the right answer for right in every coalition that holds its evidence."""

    def __init__(self, name: str = "tiny-llava-grounded") -> None:
        biased = name.endswith("biased")
        super().__init__(lambda sample, target, baseline: _KnownGame(sample, target, baseline, biased), name=name)


def known_sample(number: int, *, everywhere: bool = False) -> Sample:
    found = fake_sample(
        number, grid=(SIDE, SIDE), question="is there a red circle ?", evidence=((number * 7 % SIDE**2,), (3, 4)),
        answer=("yes", "no")[number % 2],
    )  # fmt: skip
    truth = replace(found.truth, evidence_boxes=((0.0, 0.0, 1.0, 1.0),)) if everywhere else found.truth
    return replace(found, id=f"known-{number:03d}", image=Image.new("RGB", (8, 8)), truth=truth, dataset="known")


# -- beliefs over the choices, given for each corner; the gate is the first word of the question ---------------------

_CORNERS = Players.make(("c0", "c1"), ("is", "it"))
GATES = {
    "synergy": (1.0, 0.0, 0.0, 0.0),
    "redundancy": (1.0, 1.0, 1.0, 0.0),
    "text-only": (1.0, 0.0, 1.0, 0.0),
    "image-only": (1.0, 1.0, 0.0, 0.0),
    "neither": (0.0, 0.0, 0.0, 0.0),
}
"""For each gate, how certain of the right answer each corner is: both, image, text, empty."""


class GateVLM(FakeVLM):
    """Believes in the right answer with probability floor + (1 - floor) * certainty."""

    def __init__(self, jitter: float = 0.0, follow_prior: bool = False) -> None:
        super().__init__(self.corner_game, name="gate")
        self.jitter, self.follow_prior = jitter, follow_prior

    def corner_game(self, sample: Sample, target: str, baseline: str) -> SumOfUnanimityGames:
        n = len(sample.choices)
        certain, believed = GATES[sample.question.split()[0]], sample.answer
        if self.follow_prior and sample.truth.prior_answer is not None:
            certain, believed = GATES["text-only"], sample.truth.prior_answer
        p = [c * 0.94 + (1 - c) / n + 0.06 * c / n for c in certain]
        p[2] += {"blur": 0.0, "mean": 1.0, "noise": -1.0}[baseline] * self.jitter
        both, image, text, empty = (q if target == believed else (1 - q) / (n - 1) for q in p)
        terms = {(): empty, (0, 1): image - empty, (2, 3): text - empty, (0, 1, 2, 3): both - image - text + empty}
        return SumOfUnanimityGames(_CORNERS, terms)


def gate_sample(gate: str, number: int, *, n_choices: int = 4, prior: str | None = None, image_id: str = "") -> Sample:
    choices = tuple("ABCD"[:n_choices])
    truth = Truth(gate if gate != "neither" else "synergy", (), (), Corners(1, 0, 0, 0), prior_answer=prior)
    return Sample(
        f"{gate}-{number}", Image.new("RGB", (4, 4)), f"{gate} it", choices=choices, answer=choices[number % n_choices],
        image_id=image_id, dataset="gates", truth=truth,
    )  # fmt: skip


# -- p(yes) = 1/2 + sum a_i m_i + sum b_j u_j + sum c_ij m_i u_j, m_i the brightness of cell i, u_j = 1 --------------

A = (0.10, -0.05, 0.02, 0.0)
B = (0.08, -0.03, 0.0)
C = ((0.12, 0.0, 0.0), (0.0, -0.06, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
MEANS = np.array([1.0, 0.8, 0.4, 0.2])
_TOY = Players.make(("c00", "c01", "c10", "c11"), ("red", "circle", "?"))


class ToyVLM(FakeVLM):
    """Every gradient, integral and Shapley value is known in closed form; ``model.weights`` is (1/2, a, b, c)."""

    def __init__(self, a=A, b=B, c=C) -> None:
        terms = {(): 0.5} | {(i,): x for i, x in enumerate((*a, *b))}
        terms |= {(i, 4 + j): x for i, row in enumerate(c) for j, x in enumerate(row)}
        super().__init__(SumOfUnanimityGames(_TOY, terms), name="toy")

    def pixels(self, sample: Sample) -> torch.Tensor:
        grey = sample.image.convert("L").resize((4, 4), Image.Resampling.NEAREST)
        return torch.from_numpy(np.asarray(grey, dtype=np.float64) / 255)[None, None]


def toy_sample(id: str = "toy-0", *, truth: bool = True) -> Sample:
    """The cells are as bright as MEANS says; the evidence is cell 0 and word 0."""
    found = fake_sample(grid=(2, 2), question="red circle ?", evidence=((0,), (0,)))
    grey = np.rint(255 * MEANS).astype(np.uint8).reshape(2, 2).repeat(2, 0).repeat(2, 1)
    image = Image.fromarray(grey).convert("RGB")
    return replace(found, id=id, image=image, image_id="", truth=found.truth if truth else None)


a, b, c = np.array(A), np.array(B), np.array(C)
ONES = np.ones(3)
P = 0.5 + MEANS @ a + ONES @ b + MEANS @ c @ ONES
PAIRS = MEANS[:, None] * c


def first_order() -> np.ndarray:
    """x * dp/dx per player."""
    return np.concatenate([MEANS * (a + c @ ONES), ONES * (b + MEANS @ c)])


def shapley() -> np.ndarray:
    """Pair terms are shared equally: also the closed form of integrated gradients from zero."""
    return np.concatenate([MEANS * a + PAIRS.sum(1) / 2, b + PAIRS.sum(0) / 2])
