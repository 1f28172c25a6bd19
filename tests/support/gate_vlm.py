"""A model that is its own specification: beliefs over the choices are given for each corner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from toolkit.datasets.sample import Corners, Sample, Truth
from toolkit.games.game import Players
from toolkit.typing import Coalitions, Values
from toolkit.vlm.protocol import Answer

PLAYERS = Players.make(("c0", "c1"), ("is", "it"))
GATES = {
    "synergy": (1.0, 0.0, 0.0, 0.0),
    "redundancy": (1.0, 1.0, 1.0, 0.0),
    "text-only": (1.0, 0.0, 1.0, 0.0),
    "image-only": (1.0, 1.0, 0.0, 0.0),
    "neither": (0.0, 0.0, 0.0, 0.0),
}
"""For each gate, how certain of the right answer each corner is: both, image, text, empty."""


@dataclass
class CornerGame:
    sample: Sample
    target: str
    baseline: str
    values: tuple[float, float, float, float]
    players: Players = PLAYERS
    n_evaluations: int = 0

    def __call__(self, coalitions: Coalitions) -> Values:
        image, text = coalitions[:, :2].all(axis=1), coalitions[:, 2:].all(axis=1)
        both, only_image, only_text, empty = self.values
        return np.where(image, np.where(text, both, only_image), np.where(text, only_text, empty))


class GateVLM:
    """Believes in the right answer with probability floor + (1 - floor) * certainty; the gate is in the question."""

    name = "gate"
    family = "toy"
    revision = None

    def __init__(self, jitter: float = 0.0, follow_prior: bool = False) -> None:
        self.jitter = jitter
        self.follow_prior = follow_prior

    def belief(self, sample: Sample, choice: str, baseline: str) -> tuple[float, float, float, float]:
        n = len(sample.choices or ())
        gate = sample.question.split()[0]
        certain = GATES[gate]
        believed = sample.answer
        if self.follow_prior and sample.truth is not None and sample.truth.prior_answer is not None:
            certain, believed = GATES["text-only"], sample.truth.prior_answer
        p = [c * 0.94 + (1 - c) / n + 0.06 * c / n for c in certain]
        shift = {"blur": 0.0, "mean": 1.0, "noise": -1.0}[baseline] * self.jitter
        p = [p[0], p[1], p[2] + shift, p[3]]
        values = [q if choice == believed else (1 - q) / (n - 1) for q in p]
        return values[0], values[1], values[2], values[3]

    def answer(self, sample: Sample) -> Answer:
        by_choice = {c: self.belief(sample, c, "blur")[0] for c in sample.choices or ()}
        text = max(by_choice, key=lambda c: by_choice[c])
        return Answer(text, by_choice[text], (0,), by_choice)

    def game(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> CornerGame:
        target = target or self.answer(sample).text
        return CornerGame(sample, target, baseline, self.belief(sample, target, baseline))


def gate_sample(gate: str, number: int, *, n_choices: int = 4, prior: str | None = None, image_id: str = "") -> Sample:
    choices = tuple("ABCD"[:n_choices])
    named = gate if gate != "neither" else "synergy"
    truth = Truth(named, (), (), Corners(1, 0, 0, 0), prior_answer=prior)
    return Sample(
        id=f"{gate}-{number}",
        image=Image.new("RGB", (4, 4)),
        question=f"{gate} it",
        choices=choices,
        answer=choices[number % n_choices],
        image_id=image_id,
        dataset="gates",
        truth=truth,
    )
