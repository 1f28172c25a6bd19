"""Does a map follow what catches the eye? Rank correlation of its cells with their contrast, beside the evidence."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.explainers.oracle import evidence, has_evidence
from toolkit.games.attribution import Attribution
from toolkit.stats.rank_agreement import spearman
from toolkit.synergy.score import MetricSpec, Score
from toolkit.typing import Regions
from toolkit.vlm.protocol import VLM

SALIENCE = MetricSpec(
    "salience",
    0,
    (-1.0, 1.0),
    "rank correlation",
    "contrast to the picture's median colour: this toolkit",
    "Spearman's rho between the image scores and the contrast of the cells that are not evidence.",
)


def contrast(sample: Sample, regions: Regions) -> NDArray[np.float64]:
    """Mean absolute difference of each cell's pixels to the picture's median colour, (n_cells,), in [0, 1]."""
    pixels = np.asarray(sample.sheet.convert("RGB"), dtype=np.float64) / 255
    stands_out = np.abs(pixels - np.median(pixels, axis=(0, 1))).mean(axis=2)
    height, width = stands_out.shape
    edges = np.rint(regions * [width, height, width, height]).astype(int)
    return np.array([stands_out[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].mean() for x0, y0, x1, y1 in edges])


def salience(vlm: VLM, sample: Sample, attribution: Attribution) -> Score:
    """Spearman's rho between a map's cells and their contrast, over the cells that are not evidence, in [-1, 1].

    Evidence stands out too, and a faithful map shows it; what a map does with the cells that do not matter tells
    whether it follows the eye. Not scored where fewer than three such cells are left, or one of the two is constant.
    """
    cells = contrast(sample, vlm.regions(sample))
    matters = evidence(vlm, sample)[: len(cells)] > 0 if has_evidence(sample) else np.zeros(len(cells), dtype=bool)
    rho = spearman(attribution.of("image")[~matters], cells[~matters])
    reason = "fewer than three cells that are not evidence, or all alike" if math.isnan(rho) else None
    return Score(SALIENCE, rho, np.ones(1), np.array([rho]), 0, reason)
