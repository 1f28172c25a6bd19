"""A sample with everything that a flaw may change, and the changed result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame
from toolkit.registry import Registry
from toolkit.synergy.f_syn import synergistic_faithfulness
from toolkit.vlm.protocol import VLM

STEPS = 10
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One sample with everything that a flaw may spoil."""

    vlm: VLM
    sample: Sample
    attributions: tuple[Attribution, ...]
    game: CachedGame


@dataclass(frozen=True)
class Spoiled:
    """What a flaw made of the cases.

    Attributes:
        scores: Shape (n_cases, n_methods): scores with the flaw; NaN where it loses them.
        quantity: The number that it distorts.
        without: That number without the flaw.
        flawed: The same with the flaw.
        note: What a reader should know beside it.
    """

    scores: Floats
    quantity: str
    without: float
    flawed: float
    note: str = ""


@dataclass(frozen=True)
class Flaw:
    """One flaw of the list.

    Attributes:
        number: Its number in the list of flaws.
        what: What goes wrong.
        spoil: From the cases and their right scores (n_cases, n_methods) to what the flaw makes of them.
    """

    number: int
    what: str
    spoil: Callable[[Sequence[Case], Floats], Spoiled]


FLAWS: Registry[Flaw] = Registry("flaw")
GAP = "oracle - anti-oracle"


def correct(case: Case) -> list[float]:
    """Signed F_syn, without any flaw."""
    return [synergistic_faithfulness(case.game, attribution, STEPS).value for attribution in case.attributions]


def ranked_columns(case: Case) -> list[int]:
    """Columns of the explainers that are ranked: all but the two controls with the truth."""
    return [i for i, a in enumerate(case.attributions) if a.explainer not in ("oracle", "anti-oracle")]


def gap(case: Case, scores: Floats) -> float:
    """Mean score of the oracle less that of the anti-oracle."""
    names = [a.explainer for a in case.attributions]
    means = np.nanmean(scores, axis=0)
    return float(means[names.index("oracle")] - means[names.index("anti-oracle")])
