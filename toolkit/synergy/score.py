"""A metric's value together with its curve, its cost and the reason why it is missing, if it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class MetricSpec:
    """What a metric is called and how to read it.

    Attributes:
        name: Registry name.
        direction: +1 if larger is better, -1 if smaller is better, 0 if it only describes.
        range: Smallest and largest possible value.
        unit: Unit of the value, for example ``"probability"``.
        reference: Paper and year, arXiv id or DOI.
        description: One sentence.
    """

    name: str
    direction: int
    range: tuple[float, float]
    unit: str
    reference: str
    description: str = ""


@dataclass(frozen=True)
class Score:
    """One metric of one attribution on one game.

    ``value`` is NaN exactly when ``reason`` says why it could not be scored.

    Attributes:
        metric: What was measured.
        value: The number, raw and signed.
        fractions: Shape (n_steps + 1,): the k of each point of the curve, in [0, 1].
        curve: Shape (n_steps + 1,): the metric at each k.
        n_evaluations: Distinct coalitions that this score reads: what it costs on a game that was never asked before.
        reason: Why the value is NaN, else None.
    """

    metric: MetricSpec
    value: float
    fractions: NDArray[np.float64] = field(repr=False)
    curve: NDArray[np.float64] = field(repr=False)
    n_evaluations: int
    reason: str | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.value) != (self.reason is not None):
            raise ValueError(f"value is NaN exactly when a reason is given; got {self.value} and {self.reason!r}")
