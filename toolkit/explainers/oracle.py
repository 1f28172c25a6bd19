"""Oracle and anti-oracle: the generator's own evidence as an attribution, and its opposite.

    image cell:   score_i = share of the cell's area that the evidence boxes cover, in [0, 1]
    text token:   score_i = 1 if the token lies in an evidence word, else 0
    anti-oracle:  minus the oracle

A metric of faithfulness must rank oracle > random > anti-oracle on a model that answers by the evidence; where it does
not, the metric is in doubt. Both exist only for samples that carry their truth.
Cost: nothing; the model is not asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.datasets.sample import Sample, Truth
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.games.attribution import Attribution
from toolkit.typing import Regions, Scores
from toolkit.vlm.protocol import VLM


def covered(regions: Regions, boxes: tuple[tuple[float, float, float, float], ...]) -> Scores:
    """Share of each region's area under the boxes, (n_regions,), in [0, 1]; overlapping boxes count once.

    The boxes' edges cut the picture into rectangles that lie wholly inside or outside every box; the covered ones are
    summed, which is exact.
    """
    if not boxes:
        return np.zeros(len(regions))
    corners = np.array(boxes, dtype=np.float64)
    xs = np.unique(np.concatenate([corners[:, [0, 2]].ravel(), [0.0, 1.0]]))
    ys = np.unique(np.concatenate([corners[:, [1, 3]].ravel(), [0.0, 1.0]]))
    x_mid, y_mid = (xs[:-1] + xs[1:]) / 2, (ys[:-1] + ys[1:]) / 2
    inside = np.zeros((len(y_mid), len(x_mid)), dtype=np.bool_)
    for x0, y0, x1, y1 in corners:
        inside |= ((y0 < y_mid) & (y_mid < y1))[:, None] & ((x0 < x_mid) & (x_mid < x1))[None, :]
    width = np.clip(np.minimum(regions[:, 2:3], xs[1:]) - np.maximum(regions[:, 0:1], xs[:-1]), 0, None)
    height = np.clip(np.minimum(regions[:, 3:4], ys[1:]) - np.maximum(regions[:, 1:2], ys[:-1]), 0, None)
    area = (regions[:, 2] - regions[:, 0]) * (regions[:, 3] - regions[:, 1])
    return np.asarray(np.einsum("ry,yx,rx->r", height, inside.astype(np.float64), width) / area)


def has_evidence(sample: Sample) -> bool:
    """Whether the sample's evidence may stand as ground truth of an explanation."""
    return sample.truth is not None and sample.truth.is_control


def truth_of(sample: Sample) -> Truth:
    """The sample's ground truth.

    Raises:
        ValueError: It has none, or the embedded models do not answer its family by the evidence.
    """
    if sample.truth is None:
        raise ValueError(
            f"sample {sample.id!r} of dataset {sample.dataset!r} carries no ground truth; oracle and anti-oracle work "
            "on generated samples only (scenes-existence, scenes-choice, scenes-mixed, scenes-everyday, scenes-binding)"
        )
    if not sample.truth.is_control:
        raise ValueError(
            f"sample {sample.id!r} is of family {sample.truth.family!r}, which the embedded models answer too badly "
            "for its evidence to be ground truth; take a dataset without it: scenes-existence, scenes-choice"
        )
    return sample.truth


def evidence(vlm: VLM, sample: Sample) -> Scores:
    """Ground-truth evidence of each player, (n_players,), in [0, 1].

    Raises:
        ValueError: The sample carries no ground truth.
    """
    truth = truth_of(sample)
    words = [match.span() for match in re.finditer(r"\S+", sample.question)]
    beyond = [index for index in truth.evidence_words if not 0 <= index < len(words)]
    if beyond:
        raise ValueError(f"evidence words {beyond} of sample {sample.id!r} lie beyond its {len(words)} words")
    spans = [words[index] for index in truth.evidence_words]
    text = [float(any(a < end and start < b for a, b in spans)) for start, end in vlm.text_spans(sample)]
    return np.concatenate([covered(vlm.regions(sample), truth.evidence_boxes), np.array(text, dtype=np.float64)])


@dataclass(frozen=True)
class Oracle:
    """The evidence by construction."""

    name: ClassVar[str] = "oracle"
    reference: ClassVar[str] = "control"
    cost: ClassVar[str] = "none"
    needs: ClassVar[frozenset[Need]] = frozenset({"truth"})
    passes: ClassVar[Passes] = Passes(0)
    deterministic: ClassVar[bool] = True
    sign: ClassVar[float] = 1.0

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Return the evidence times ``sign``; deterministic, ``rng`` is not used.

        Raises:
            ValueError: The sample carries no ground truth.
        """
        scores = self.sign * evidence(vlm, sample)
        return Attribution(scores, vlm.players(sample), self.name, resolve_target(vlm, sample, target))


@dataclass(frozen=True)
class AntiOracle(Oracle):
    """Minus the evidence by construction."""

    name: ClassVar[str] = "anti-oracle"
    sign: ClassVar[float] = -1.0
