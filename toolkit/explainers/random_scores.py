"""Random scores: the control that every explainer has to beat.

    score_i ~ N(0, 1), independent

Adapted: one draw is one sample of the floor, not the floor; repeat it (:func:`toolkit.explainers.base.draws`) and
report the spread. The draw depends on the sample's id, so that two samples never share an ordering by accident.
Cost: nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.games.attribution import Attribution
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class RandomScores:
    """Standard normal scores, distinct per sample and per state of the generator."""

    name: ClassVar[str] = "random"
    reference: ClassVar[str] = "control"
    cost: ClassVar[str] = "none"
    needs: ClassVar[frozenset[Need]] = frozenset()
    passes: ClassVar[Passes] = Passes(0)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Draw once; call again with the same generator for the next draw."""
        target = resolve_target(vlm, sample, target)
        players = vlm.players(sample)
        own = np.random.default_rng([int(rng.integers(2**63)), zlib.crc32(sample.id.encode())])
        return Attribution(own.standard_normal(players.n), players, self.name, target)
