"""Everything that one explainer's curves show on one sample, computed once so that a slider only has to look it up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.explainers import explain
from toolkit.explainers.base import ExplainerLike
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame
from toolkit.synergy.f_syn import SynergyScore, synergistic_faithfulness, synergy_coalitions
from toolkit.synergy.ordering import top_coalitions
from toolkit.synergy.srg import insertion_deletion, insertion_deletion_coalitions
from toolkit.vlm.protocol import VLM

Removal: TypeAlias = Literal["both", "image", "text"]
"""Whose top fraction a slider removes."""

CURVES = ("image", "text", "both")


@dataclass(frozen=True)
class Trace:
    """Curves of one attribution.

    Attributes:
        sample: What was asked.
        attribution: Whose order is followed.
        fractions: Shape (K + 1,).
        insertion: For ``"image"``, ``"text"`` and ``"both"``: v as the top fraction arrives, the other modality
            intact; for both, as both arrive in an empty input.
        deletion: Likewise as the top fraction leaves.
        synergy: F_syn with its sides.
        srg: Symmetric relevance gain of ``"image"`` and of ``"text"``.
        n_evaluations: Distinct coalitions that all of this read.
    """

    sample: Sample
    attribution: Attribution
    fractions: NDArray[np.float64] = field(repr=False)
    insertion: dict[str, NDArray[np.float64]] = field(repr=False)
    deletion: dict[str, NDArray[np.float64]] = field(repr=False)
    synergy: SynergyScore
    srg: dict[str, float]
    n_evaluations: int

    def kept(self, removal: Removal, step: int) -> NDArray[np.bool_]:
        """Players (n_players,) that are left when the top fraction of step ``step`` is removed.

        Raises:
            ValueError: No such step.
        """
        if not 0 <= step < len(self.fractions):
            raise ValueError(f"step must be between 0 and {len(self.fractions) - 1}, got {step}")
        kept = np.ones(self.attribution.players.n, dtype=np.bool_)
        for modality in ("image", "text"):
            if removal in ("both", modality):
                kept &= ~top_coalitions(self.attribution, modality, self.fractions[step : step + 1])[0]
        return kept

    def value(self, removal: Removal, step: int) -> float:
        """Value of those players."""
        return float(self.deletion[removal][step])


def trace_of(vlm: VLM, sample: Sample, attribution: Attribution, *, steps: int = 10, baseline: str = "blur") -> Trace:
    """Follow an attribution through all its curves, asking the model once.

    Args:
        vlm: The model.
        sample: The sample that the attribution explains.
        attribution: The order.
        steps: K.
        baseline: What a removed cell looks like.
    """
    game = CachedGame(vlm.game(sample, target=attribution.target, baseline=baseline))
    sides = [insertion_deletion_coalitions(attribution, modality, steps) for modality in ("image", "text")]
    game(np.concatenate([*sides, synergy_coalitions(attribution, steps)]))
    image = insertion_deletion(game, attribution, modality="image", steps=steps)
    text = insertion_deletion(game, attribution, modality="text", steps=steps)
    synergy = synergistic_faithfulness(game, attribution, steps)
    together = top_coalitions(attribution, "image", image.fractions) | top_coalitions(
        attribution, "text", image.fractions
    )
    return Trace(
        sample,
        attribution,
        image.fractions,
        {"image": image.insertion, "text": text.insertion, "both": game(together)},
        {"image": image.deletion, "text": text.deletion, "both": game(~together)},
        synergy,
        {"image": image.srg.value, "text": text.srg.value},
        game.n_evaluations,
    )


def trace(vlm: VLM, sample: Sample, explainer: ExplainerLike, *, steps: int = 10, baseline: str = "blur") -> Trace:
    """Explain a sample and follow the attribution through its curves."""
    attribution = explain(explainer, vlm, sample, baseline=baseline)
    return trace_of(vlm, sample, attribution, steps=steps, baseline=baseline)
