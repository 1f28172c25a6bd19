"""A model without weights: p(yes) follows a known gate over one evidence cell and two evidence words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from toolkit.datasets.sample import Corners, Sample, Truth
from toolkit.games.game import Players, check_coalitions
from toolkit.typing import Coalitions, Regions, Values
from toolkit.vlm.adapters.adapter_base import grid_regions
from toolkit.vlm.protocol import Answer

SIDE = 6
EVIDENCE_CELL, EVIDENCE_WORDS = 8, (3, 4)


@dataclass
class PaperGame:
    sample: Sample
    target: str
    baseline: str
    players: Players
    gate: str
    asked: list[bytes] = field(default_factory=list)

    @property
    def n_evaluations(self) -> int:
        return len(set(self.asked))

    def __call__(self, coalitions: Coalitions) -> Values:
        check_coalitions(coalitions, self.players)
        self.asked += [row.tobytes() for row in coalitions]
        seen = coalitions[:, EVIDENCE_CELL].astype(np.float64)
        read = coalitions[:, [SIDE * SIDE + word for word in EVIDENCE_WORDS]].all(axis=1).astype(np.float64)
        both = {"and": seen * read, "text": read, "or": np.maximum(seen, read)}[self.gate]
        yes = 0.5 + 0.45 * both
        return yes if self.target == "yes" else 1 - yes


class PaperVLM:
    """``gate`` is "and" (grounded), "text" (reads the words only) or "or" (redundant)."""

    family = "paper"
    revision = None

    def __init__(self, gate: str = "and") -> None:
        self.gate, self.name, self.games = gate, f"paper-{gate}", 0

    def players(self, sample: Sample) -> Players:
        cells = tuple(f"row {r + 1}, column {c + 1}" for r in range(SIDE) for c in range(SIDE))
        return Players.make(cells, tuple(sample.question.split()))

    def regions(self, sample: Sample) -> Regions:
        return grid_regions(SIDE, SIDE)

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        return tuple(m.span() for m in re.finditer(r"\S+", sample.question))

    def answer(self, sample: Sample) -> Answer:
        return Answer("yes", 0.95, (0,), {"yes": 0.95, "no": 0.05})

    def game(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> PaperGame:
        self.games += 1
        return PaperGame(sample, target or "yes", baseline, self.players(sample), self.gate)

    def masked_image(self, sample: Sample, coalition: Coalitions, *, baseline: str = "blur") -> Image.Image:
        keep = np.asarray(coalition)[: SIDE * SIDE].reshape(SIDE, SIDE)
        mask = np.kron(keep, np.ones((16, 16)))[..., None]
        pixels = np.asarray(sample.image.resize((96, 96))) * mask
        return Image.fromarray(pixels.astype(np.uint8))


def paper_sample(number: int = 0) -> Sample:
    """A red square in cell 8 (row 2, column 3) of a grey picture."""
    pixels = np.full((96, 96, 3), 200, dtype=np.uint8)
    pixels[16:32, 32:48] = (220, 40, 40)
    pixels[:4, :4] = number
    box = (2 / SIDE, 1 / SIDE, 3 / SIDE, 2 / SIDE)
    return Sample(
        id=f"paper-{number}",
        image=Image.fromarray(pixels),
        question="is there a red square ?",
        choices=("yes", "no"),
        answer="yes",
        image_id=f"paper-{number}",
        dataset="paper",
        category="existence",
        truth=Truth("synergy", (box,), EVIDENCE_WORDS, Corners(1.0, 0.5, 0.5, 0.5), family="existence"),
    )
