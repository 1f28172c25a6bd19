"""A metric's value together with its curve, its cost and the reason why it is missing, if it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from toolkit.games.game import CachedGame, Game, UnscoredError
from toolkit.games.target import Unit, unit_of
from toolkit.typing import Coalitions, EqualByContent, Values


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
        needs_probability: Defined for values in [0, 1] alone, because it clips or holds a threshold in probability.
    """

    name: str
    direction: int
    range: tuple[float, float]
    unit: str
    reference: str
    description: str = ""
    needs_probability: bool = False


@dataclass(frozen=True, eq=False)
class Score(EqualByContent):
    """One metric of one attribution on one game.

    ``value`` is NaN exactly when ``reason`` says why it could not be scored.

    Attributes:
        metric: What was measured.
        value: The number, raw and signed.
        fractions: Shape (n_steps + 1,): the k of each point of the curve, in [0, 1].
        curve: Shape (n_steps + 1,): the metric at each k.
        n_evaluations: Distinct coalitions that this score reads: what it costs on a game that was never asked before.
            Filled in by whoever asked the game.
        reason: Why the value is NaN, else None.
    """

    metric: MetricSpec
    value: float
    fractions: NDArray[np.float64] = field(repr=False)
    curve: NDArray[np.float64] = field(repr=False)
    n_evaluations: int = 0
    reason: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.metric, MetricSpec):
            raise TypeError(f"metric must be a MetricSpec, got {self.metric!r}; a registered metric has one as .spec")
        if not isinstance(self.value, int | float | np.integer | np.floating):
            raise TypeError(f"value must be a real number, or NaN with a reason, got {self.value!r}")
        if math.isnan(self.value) != (self.reason is not None):
            raise ValueError(f"value is NaN exactly when a reason is given; got {self.value} and {self.reason!r}")
        if math.isinf(self.value):
            raise ValueError(f"value must be finite, or NaN with a reason; got {self.value}")
        object.__setattr__(self, "value", float(self.value))


S = TypeVar("S", bound=Score)


def in_unit(score: S, unit: Unit) -> S:
    """The score of a game whose values have this unit.

    Of log-probabilities and log-odds it is in nats and has no bounds, and what is defined for probabilities alone is
    not scored.
    """
    spec = score.metric
    if unit == "probability" or spec.unit == "nats":
        return score
    if not spec.needs_probability:
        everything = (-math.inf, math.inf)
        return replace(score, metric=replace(spec, unit="nats" if spec.unit == "probability" else spec.unit,
                                             range=everything))  # fmt: skip
    reason = score.reason or f"{spec.name} is defined for probabilities; the values of this game are in nats"
    return replace(score, value=math.nan, reason=reason)


def ask_or_why(game: Game, coalitions: Coalitions) -> tuple[Values, str | None]:
    """Values (n_coalitions,) of a game, NaN where it has none, and the reason for that, if it gives one."""
    try:
        return game(coalitions), None
    except UnscoredError as error:
        return np.full(len(coalitions), np.nan) if error.values is None else error.values, str(error)


def ask_and_read(game: Game, coalitions: Coalitions, read: Callable[[Values], S], target: str | None = None) -> S:
    """Ask a game once for all coalitions, and read the score from their values, which are about the target."""
    cache = CachedGame(game)
    unit = unit_of(str(getattr(game, "target", "")) if target is None else target)
    try:
        return replace(in_unit(read(cache(coalitions)), unit), n_evaluations=cache.n_evaluations)
    except UnscoredError as error:
        return replace(read(np.full(len(coalitions), np.nan)), reason=str(error))


def missing_reason(values: Values) -> str | None:
    """Why no score can be computed from these values, or None if it can."""
    bad = int((~np.isfinite(values)).sum())
    return f"the game returned {bad} values that are not finite among {values.size}" if bad else None


def value_or_nan(value: float, reason: str | None) -> float:
    """The value, or NaN where there is a reason why it is missing."""
    return float("nan") if reason else float(value)
