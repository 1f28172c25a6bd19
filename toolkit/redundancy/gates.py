"""Which gate a sample goes through, with thresholds measured from the noise of the corners themselves.

With a = v(I, 0) - v(B, 0), b = v(B, T) - v(B, 0) and the dividend d = v(I, T) - v(I, 0) - v(B, T) + v(B, 0), what the
sample gains in all, v(I, T) - v(B, 0) = a + b + d, falls into four parts:

    synergy    s = max(d, 0)        what appears only when both are there
    redundancy r = max(-d, 0)       what either brings alone and both bring only once
    image      a - r                what the image brings alone, beyond that
    text       b - r                what the text brings alone, beyond that

The gate is the largest part (in size), or "neither" where even that part is within the noise. What counts as noise is
measured: a removed picture has no unique replacement, so the same part measured with a blurred, an averaged and a noise
picture differs, and its spread over these baselines, pooled over samples, is the standard deviation of a measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from toolkit.datasets.sample import Corners
from toolkit.redundancy.corners import CornerRecord

GATES = ("synergy", "redundancy", "text-only", "image-only", "neither")


@dataclass(frozen=True)
class Parts:
    """The four parts of a contrast (or their standard deviations, or their thresholds), in the order of ``GATES``."""

    synergy: float
    redundancy: float
    text: float
    image: float


@dataclass(frozen=True)
class Noise:
    """How far a part moves when nothing but the replacement of the removed picture changes.

    Attributes:
        sd: Pooled within-sample standard deviations over baselines.
        threshold: Parts below these cannot be told from 0 at the level: t quantile times sd.
        level: Two-sided error level of the threshold.
        n_samples: Samples pooled.
        n_baselines: Baselines per sample.
    """

    sd: Parts
    threshold: Parts
    level: float
    n_samples: int
    n_baselines: int


def parts(corners: Corners) -> Parts:
    """Synergy, redundancy, text and image part of four corners; they add up to v(I, T) - v(B, 0)."""
    synergy, redundancy = max(corners.total_interaction, 0.0), max(-corners.total_interaction, 0.0)
    text, image = corners.text - corners.empty, corners.image - corners.empty
    return Parts(synergy, redundancy, text - redundancy, image - redundancy)


def measure_noise(records: Sequence[CornerRecord], *, level: float = 0.05) -> Noise:
    """Pool the spread of each part over the baselines: sd^2 = mean over samples of the variance over baselines.

    Raises:
        ValueError: No samples, or fewer than two baselines.
    """
    if not records or min(len(record.by_baseline) for record in records) < 2:
        raise ValueError("noise is measured from at least one sample with at least two baselines")
    table = np.array([[astuple(parts(corners)) for corners in r.by_baseline.values()] for r in records])
    sd = np.sqrt(table.var(axis=1, ddof=1).mean(axis=0))
    n_samples, n_baselines, _ = table.shape
    quantile = float(stats.t.ppf(1 - level / 2, n_samples * (n_baselines - 1)))
    return Noise(Parts(*sd.tolist()), Parts(*(quantile * sd).tolist()), level, n_samples, n_baselines)


def classify(corners: Corners, threshold: Parts) -> str:
    """The gate of four corner values: one of ``GATES``."""
    sizes = np.abs(astuple(parts(corners)))
    largest = int(sizes.argmax())
    return GATES[largest] if sizes[largest] > astuple(threshold)[largest] else "neither"


def confusion(truth: Sequence[str], found: Sequence[str]) -> pd.DataFrame:
    """Counts of samples: gate by construction in the rows, measured gate in the columns."""
    table = pd.crosstab(pd.Series(truth, name="by construction"), pd.Series(found, name="measured"))
    rows = [gate for gate in GATES if gate in set(truth)]
    return table.reindex(index=rows, columns=list(GATES), fill_value=0)
