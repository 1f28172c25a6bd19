"""Study of the dose: does what explainers say of pairs shrink with the interaction, along the bias sweep?

The question and the rule were written down before the study was run: ``notebooks/site/studies.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from toolkit.audit.bias.twins_mixed import STRENGTHS, mixed_twins
from toolkit.audit.explainers.pair_recovery import ORACLE, evidence_pairs, gives
from toolkit.audit.study_rows import Watch, mean_table, side, study_rows
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.synergy.f_syn import total_interaction
from toolkit.synergy.pair_metrics import pairs_of
from toolkit.vlm.protocol import VLM

EXPLAINERS = ("shapley-interaction", "faith-shapley-interaction", "banzhaf-interaction", "kernel-shap", "occlusion")
RANDOM = "random pairs"
SMALLEST_CHANGE, SIZE, FOLLOWS = 0.1, (0.8, 1.2), 0.5
"""The rule: samples whose D changes by the first; slopes inside the second have the size of D; correlations."""


@dataclass(frozen=True)
class DoseStudy:
    """Cross-modal mass of explainers beside the total interaction, along the bias sweep.

    Attributes:
        rows: ``sample, image_id, explainer, gives, strength, total, mass``.
    """

    rows: pd.DataFrame

    def responses(self) -> pd.DataFrame:
        """One row per sample and explainer: slope of mass on D (NaN in another unit), rank correlation."""
        found = []
        for names, group in self.rows.groupby(["explainer", "gives", "sample", "image_id"], sort=False):
            total, mass = group["total"].to_numpy(float), group["mass"].to_numpy(float)
            in_units = names[0] != RANDOM and names[1] != "a product"
            slope = float(np.polyfit(total, mass, 1)[0]) if in_units else float("nan")
            still = np.ptp(mass) < 1e-9
            row = dict(zip(("explainer", "gives", "sample", "image_id"), names, strict=True))
            found.append(row | {"slope": slope, "correlation": 0.0 if still else float(spearmanr(total, mass)[0])})
        return pd.DataFrame(found)

    def table(self) -> pd.DataFrame:
        """One row per explainer: correlation and slope with intervals."""
        return mean_table(self.responses(), ["explainer", "gives"], ["correlation", "slope"])

    def judged(self) -> dict[str, str]:
        """What the rule says of every explainer."""
        found = {}
        for row in self.table().to_dict("records"):
            follows = {1: "follows the dose", 0: "undecided whether it follows the dose", -1: "does not follow"}
            said = follows[side(row, "correlation", FOLLOWS)]
            if row["gives"] == "pairs":
                low, high = side(row, "slope", SIZE[0]), side(row, "slope", SIZE[1])
                size = {(1, -1): "has the size of D", (-1, -1): "shows too little", (1, 1): "shows too much"}
                said += f", {size.get((low, high), 'undecided whether it has the size of D')} ({row['slope']:.2f})"
            found[str(row["explainer"])] = said
        return found

    def verdict(self) -> str:
        """The rule, applied to every explainer."""
        [random] = [row for row in self.table().to_dict("records") if row["explainer"] == RANDOM]
        if side(random, "correlation", 0.0):
            return "Nothing can be said: random pairs, which know nothing, follow the dose."
        return " ".join(f"{name}: {said}." for name, said in self.judged().items() if name not in (ORACLE, RANDOM))


def dose_study(
    grounded: VLM, biased: VLM, samples: Sequence[Sample], folder: Path | None, *, n: int = 6,
    explainers: Sequence[ExplainerLike] = EXPLAINERS, strengths: Sequence[float] = STRENGTHS, seed: int = 0,
    watch: Watch | None = None,
) -> DoseStudy:  # fmt: skip
    """Explain the right answer along mixtures of two twins; a folder keeps the rows, so that a stopped study goes on.

    Args:
        grounded: One twin.
        biased: The other.
        samples: Generated samples; the first n whose total interaction differs by 0.1 between the twins are asked.
        folder: Where ``dose.jsonl`` is kept; None keeps nothing.
        n: Samples.
        explainers: Those that need forward passes only: a mixture has no gradients.
        strengths: Shares of the biased twin, in [0, 1].
        seed: Seed of everything random.
        watch: Called as watch(done, total) after every sample.

    Raises:
        ValueError: Models that are no twins, no sample that can be asked, or the folder holds another study.
    """
    asked: list[tuple[int, Sample]] = []
    for number, sample in enumerate(samples):
        first, second = (total_interaction(vlm.game(sample, target=sample.answer)).value for vlm in (grounded, biased))
        if abs(first - second) >= SMALLEST_CHANGE and len(asked) < n:
            asked.append((number, sample))
    if not asked:
        raise ValueError(
            f"on none of {len(samples)} samples does the total interaction of {grounded.name} and {biased.name} differ "
            f"by {SMALLEST_CHANGE}; give a grounded model and its biased twin"
        )
    head = {"study": "dose", "models": [grounded.name, biased.name], "strengths": list(strengths), "seed": seed,
            "explainers": [get_explainer(one).name for one in explainers]}  # fmt: skip
    units = {
        sample.id: partial(_measure, grounded, biased, sample, explainers, strengths, seed + number)
        for number, sample in asked
    }
    return DoseStudy(study_rows(folder and folder / "dose.jsonl", head, units, watch))


def _measure(
    grounded: VLM, biased: VLM, sample: Sample, explainers: Sequence[ExplainerLike], strengths: Sequence[float],
    seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    rows, rng, truth = [], np.random.default_rng(seed), evidence_pairs(grounded, sample)
    for strength, vlm in mixed_twins(grounded, biased, strengths).items():
        total = total_interaction(vlm.game(sample, target=sample.answer)).value
        masses = [(ORACLE, "control", total), (RANDOM, "control", float(rng.normal(size=truth.shape).sum()))]
        for one in explainers:
            found = explain(one, vlm, sample, target=sample.answer, seed=seed)
            masses.append((found.explainer, gives(found), float(pairs_of(found).sum())))
        rows += [
            {"sample": sample.id, "image_id": sample.image_id or sample.id, "explainer": name, "gives": kind,
             "strength": strength, "total": total, "mass": mass}
            for name, kind, mass in masses
        ]  # fmt: skip
    return rows
