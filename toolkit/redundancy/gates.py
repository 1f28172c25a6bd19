"""Which gate four corners go through: one rule, for exact corners (by construction) and measured ones (beyond noise).

With a = v(I, 0) - v(B, 0), b = v(B, T) - v(B, 0) and the total interaction d = v(I, T) - v(I, 0) - v(B, T) + v(B, 0),
what a sample gains in all, v(I, T) - v(B, 0) = a + b + d, falls into these parts:

    redundancy   r = max(0, min(a, b, -d, a + b + d))   what either brings alone, both bring only once, and both keep
    synergy      max(d + r, 0)                          what appears only when both are there
    interference max(-(d + r), 0)                       what is lost when both are there: each undoes the other
    text         b - r                                  what the text brings alone, beyond redundancy
    image        a - r                                  what the image brings alone, beyond redundancy

so that r + synergy - interference + text + image = v(I, T) - v(B, 0). The gate is the largest part (in size), or
"neither" where even that part is within the noise. AND is synergy, OR is redundancy, XOR, with a total interaction of
-2, is interference: a negative total interaction alone does not say that either modality suffices.

What counts as noise is measured: a removed picture has no unique replacement, so the same part measured with a blurred,
an averaged and a noise picture differs, and its spread over these baselines, pooled over samples, is the standard
deviation of a measurement. Corners that are known exactly have no noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from toolkit.datasets.sample import Corners, Gate
from toolkit.redundancy.corners import CornerRecord

GATES: tuple[Gate, ...] = ("synergy", "redundancy", "text-only", "image-only", "interference", "neither")
EXACT = 1e-9
"""Parts of exact corners below this are rounding."""


@dataclass(frozen=True)
class Parts:
    """The parts of a contrast (or their standard deviations, or their thresholds), in the order of ``GATES``."""

    synergy: float
    redundancy: float
    text: float
    image: float
    interference: float


@dataclass(frozen=True)
class Noise:
    """How far a number moves when nothing but the replacement of the removed picture changes.

    Attributes:
        sd: Pooled within-sample standard deviations over baselines.
        threshold: Parts below these cannot be told from 0 at the level: t quantile times sd.
        interaction: The threshold of the total interaction.
        level: Two-sided error level of the thresholds.
        n_samples: Samples pooled.
        n_baselines: Baselines per sample.
    """

    sd: Parts
    threshold: Parts
    interaction: float
    level: float
    n_samples: int
    n_baselines: int


def parts(corners: Corners) -> Parts:
    """The parts of four corners; with interference counted negative they add up to v(I, T) - v(B, 0)."""
    image, text = corners.image - corners.empty, corners.text - corners.empty
    redundancy = max(0.0, min(image, text, -corners.total_interaction, corners.both - corners.empty))
    joint = corners.total_interaction + redundancy
    return Parts(max(joint, 0.0), redundancy, text - redundancy, image - redundancy, max(-joint, 0.0))


def measure_noise(records: Sequence[CornerRecord], *, level: float = 0.05) -> Noise:
    """Pool the spread of each part over the baselines: sd^2 = mean over samples of the variance over baselines.

    Raises:
        ValueError: No samples, or fewer than two baselines.
    """
    if not records or min(len(record.by_baseline) for record in records) < 2:
        raise ValueError("noise is measured from at least one sample with at least two baselines")
    table = np.array([[(*astuple(parts(c)), c.total_interaction) for c in r.by_baseline.values()] for r in records])
    sd = np.sqrt(table.var(axis=1, ddof=1).mean(axis=0))
    n_samples, n_baselines, _ = table.shape
    *threshold, interaction = (float(stdtrit(n_samples * (n_baselines - 1), 1 - level / 2)) * sd).tolist()
    return Noise(Parts(*sd[:-1].tolist()), Parts(*threshold), interaction, level, n_samples, n_baselines)


def gate_of(corners: Corners, threshold: Parts | None = None) -> Gate:
    """The gate of four corner values: the largest of their parts, if it is above its threshold.

    Synergy arises when the answer needs both (is there a red circle?), redundancy when a lone lemon is yellow as lemons
    are, text-only when the words settle it (what colour is a lemon usually?), image-only when the words add nothing
    (what colour is the thing?). Of equal parts the first in the order of ``GATES`` names the gate.

    Args:
        corners: The four values.
        threshold: Sizes within the noise; None for corners that are known exactly.

    Example:
        >>> gate_of(Corners(both=1.0, image=1.0, text=1.0, empty=0.25))
        'redundancy'
    """
    sizes = np.abs(astuple(parts(corners)))
    largest = int(sizes.argmax())
    limit = EXACT if threshold is None else astuple(threshold)[largest]
    return GATES[largest] if sizes[largest] > limit else "neither"


def confusion(truth: Sequence[str], found: Sequence[str]) -> pd.DataFrame:
    """Counts of samples: gate by construction in the rows, measured gate in the columns."""
    table = pd.crosstab(pd.Series(truth, name="by construction"), pd.Series(found, name="measured"))
    rows = [gate for gate in GATES if gate in set(truth)]
    return table.reindex(index=rows, columns=list(GATES), fill_value=0)
