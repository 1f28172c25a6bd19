"""Models that answer by the evidence, or by the words alone: the grounded and the biased twin, solved by hand."""

from __future__ import annotations

import re
import zlib

import numpy as np
from PIL import Image

from toolkit.datasets.sample import Corners, Sample, Truth
from toolkit.explainers.oracle import evidence
from toolkit.games.game import Players
from toolkit.typing import Coalitions, Regions, Values
from toolkit.vlm.adapters.adapter_base import grid_regions
from toolkit.vlm.protocol import Answer

SIDE = 4


class KnownGame:
    def __init__(self, vlm: KnownVLM, sample: Sample, target: str, baseline: str) -> None:
        self.vlm, self.sample, self.target, self.baseline = vlm, sample, target, baseline
        self.players = vlm.players(sample)
        self._needed = evidence(vlm, sample) > 0
        self.n_evaluations = 0

    def __call__(self, coalitions: Coalitions) -> Values:
        self.n_evaluations += len(coalitions)
        image = self._needed & self.players.of("image")
        text = self._needed & self.players.of("text")
        seen = (coalitions | ~image).all(axis=1)
        read = (coalitions | ~text).all(axis=1)
        certain = np.where(read, 1.0 if self.vlm.biased else np.where(seen, 1.0, 0.0), 0.0)
        rng = np.random.default_rng(zlib.crc32(self.sample.id.encode()))
        wobble = 0.02 * rng.standard_normal(self.players.n) * {"blur": 1.0, "mean": 0.9, "noise": 1.1}[self.baseline]
        p = 0.5 + 0.45 * certain + 0.05 * np.tanh(coalitions @ wobble)
        return p if self.target == self.sample.answer else 1 - p


class KnownVLM:
    family = "toy"
    revision = None

    def __init__(self, name: str = "tiny-llava-grounded", biased: bool | None = None) -> None:
        self.name = name
        self.biased = name.endswith("biased") if biased is None else biased

    def players(self, sample: Sample) -> Players:
        cells = tuple(f"r{r}c{c}" for r in range(SIDE) for c in range(SIDE))
        return Players.make(cells, tuple(sample.question.split()))

    def regions(self, sample: Sample) -> Regions:
        return grid_regions(SIDE, SIDE)

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        return tuple(m.span() for m in re.finditer(r"\S+", sample.question))

    def answer(self, sample: Sample) -> Answer:
        answer = str(sample.answer)
        return Answer(answer, 0.95, (0,), {choice: 0.95 if choice == answer else 0.05 for choice in ("yes", "no")})

    def game(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> KnownGame:
        return KnownGame(self, sample, target or str(sample.answer), baseline)


def known_sample(number: int, *, everywhere: bool = False) -> Sample:
    cell = (number * 7) % (SIDE * SIDE)
    row, column = divmod(cell, SIDE)
    box = (column / SIDE, row / SIDE, (column + 1) / SIDE, (row + 1) / SIDE)
    return Sample(
        id=f"known-{number:03d}",
        image=Image.new("RGB", (8, 8)),
        question="is there a red circle ?",
        choices=("yes", "no"),
        answer=("yes", "no")[number % 2],
        image_id=f"picture-{number}",
        dataset="known",
        truth=Truth("synergy", ((0.0, 0.0, 1.0, 1.0),) if everywhere else (box,), (3, 4), Corners(1, 0.5, 0.5, 0.5)),
    )
