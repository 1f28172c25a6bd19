"""Study of masking: where a metric ranks the evidence no higher than chance, is it the metric, or the fill?

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

from toolkit.audit.metrics.controls import control
from toolkit.audit.metrics.fills import TRAINED
from toolkit.audit.metrics.study import eligible
from toolkit.audit.study_rows import FEWEST, Watch, mean_table, side, study_rows
from toolkit.datasets.sample import Sample
from toolkit.explainers.oracle import evidence, truth_of
from toolkit.redundancy.corners import corners_of
from toolkit.reporting.page import with_intervals
from toolkit.synergy.evaluate import evaluate_all
from toolkit.vlm.protocol import VLM

FILLS = (*TRAINED, "blur-eighth", "blur-paper", "neighbours", "shuffle", "other-images")
METRICS = ("srg-image", "srg-text", "f-syn-paper", "f-syn", "f-syn-recovered")
KNOWN, WRONG_SIGN, N_RANDOM = 0.1, 0.05, 4
"""The rule: a fill is known below this distance to Bayes. A sign counts for interactions of the second size or more."""


@dataclass(frozen=True)
class MaskingStudy:
    """Metrics and values under several fills.

    Attributes:
        rows: ``model, sample, image_id, fill, distance, wrong_sign`` and the gap of every metric; ``wrong_sign`` is
            NaN where the truth has next to no interaction.
    """

    rows: pd.DataFrame

    def fills(self) -> pd.DataFrame:
        """Distance to Bayes and share of wrong signs of every fill, with intervals, and what the fill counts as."""
        table = mean_table(self.rows, ["fill"], ["distance", "wrong_sign"])
        names = {-1: "known", 0: "unclear", 1: "foreign"}
        table["fill is"] = [names[side(row, "distance", KNOWN)] for row in table.to_dict("records")]
        return table

    def gaps(self) -> pd.DataFrame:
        """Gap between oracle and random of every metric under every fill, with intervals."""
        metrics = [name for name in METRICS if name in self.rows]
        long = self.rows.melt(["fill", "image_id"], metrics, "metric", "gap")
        return mean_table(long, ["metric", "fill"], ["gap"])

    def wide(self) -> pd.DataFrame:
        """The gaps with their intervals as text, a row per fill and a column per metric."""
        return (
            with_intervals(self.gaps())
            .pivot_table(index="fill", columns="metric", values="gap", aggfunc="first", sort=False)
            .reset_index()
        )

    def judged(self) -> dict[str, str]:
        """What the rule says of every metric."""
        kind = {row["fill"]: row["fill is"] for row in self.fills().to_dict("records")}
        found = {}
        for metric, rows in self.gaps().groupby("metric", sort=False):
            scored = [row for row in rows.to_dict("records") if row["n_samples"] >= FEWEST]
            wrong = [row["fill"] for row in scored if side(row, "gap", 0.0) <= 0]
            fails, names = {kind[fill] for fill in wrong}, ", ".join(wrong)
            if not scored:
                found[str(metric)] = "undecided"
            elif not fails:
                found[str(metric)] = "right under every fill"
            elif "known" in fails:
                found[str(metric)] = f"wrong by itself (not right under {names})"
            elif "foreign" in fails:
                found[str(metric)] = f"misled by the mask (not right under {names})"
            else:
                found[str(metric)] = f"undecided (not right under {names})"
            missing = set(rows["fill"]) - {row["fill"] for row in scored}
            if missing:
                found[str(metric)] += f" (not scored often enough under {', '.join(sorted(missing))})"
        return found

    def verdict(self) -> str:
        """The rule, applied to every metric."""
        table = self.fills()
        if "known" not in set(table["fill is"]):
            return "Nothing can be said: under no fill are the values those of Bayes."
        groups = [f"{kind}: {', '.join(rows['fill'])}" for kind, rows in table.groupby("fill is", sort=False)]
        return f"Fills {'; '.join(groups)}. " + " ".join(f"{name}: {said}." for name, said in self.judged().items())


def masking_study(
    vlm: VLM, samples: Sequence[Sample], folder: Path | None, *, n: int = 12, fills: Sequence[str] = FILLS,
    metrics: Sequence[str] = METRICS, watch: Watch | None = None,
) -> MaskingStudy:  # fmt: skip
    """Measure metrics and values under several fills; a folder keeps them, so that a stopped study goes on.

    Args:
        vlm: The model.
        samples: Generated samples; the first n with localised evidence are asked.
        folder: Where ``masking.jsonl`` is kept; None keeps nothing.
        n: Samples.
        fills: Names of baselines.
        metrics: Names of metrics.
        watch: Called as watch(done, total) after every sample and fill.

    Raises:
        ValueError: No sample with localised evidence, or the folder holds another study.
    """
    asked = eligible(vlm, samples, n)
    if not asked:
        raise ValueError(f"none of {len(samples)} samples has localised evidence; give generated samples")
    units = {
        f"{sample.id}/{fill}": partial(_measure, vlm, sample, fill, metrics, number)
        for number, sample in enumerate(asked) for fill in fills
    }  # fmt: skip
    head = {"study": "masking", "model": vlm.name, "fills": list(fills), "metrics": list(metrics)}
    return MaskingStudy(study_rows(folder and folder / "masking.jsonl", head, units, watch))


def _measure(vlm: VLM, sample: Sample, fill: str, metrics: Sequence[str], seed: int) -> list[dict[str, Any]]:
    target, known, players = vlm.answer(sample).text, evidence(vlm, sample), vlm.players(sample)
    maps = [control("oracle", known, players, target)]
    maps += [control("random", known, players, target, seed=N_RANDOM * seed + draw) for draw in range(N_RANDOM)]
    oracle, *random = evaluate_all(vlm.game(sample, target=target, baseline=fill), maps, metrics=metrics)
    gaps = {name: oracle[name].value - float(np.mean([one[name].value for one in random])) for name in metrics}
    right = vlm.game(sample, target=sample.answer, baseline=fill)
    found, bayes = corners_of(right), truth_of(sample).bayes
    distance = (abs(found.text - bayes.text) + abs(found.empty - bayes.empty)) / 2
    total, truth = found.total_interaction, bayes.total_interaction
    wrong = float(abs(total) >= WRONG_SIGN and total * truth < 0) if abs(truth) >= WRONG_SIGN else float("nan")
    who = {"model": vlm.name, "sample": sample.id, "image_id": sample.image_id or sample.id, "fill": fill}
    return [{**who, "distance": distance, "wrong_sign": wrong, **gaps}]
