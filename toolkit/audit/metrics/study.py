"""Measure everything that the panel's model rules need from one model, as one tidy table.

A row is one metric of one attribution of one sample under one setting. Judging comes later and needs no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from toolkit.audit.metrics.controls import control, localised
from toolkit.audit.metrics.salience import SALIENCE, salience
from toolkit.datasets.sample import Sample
from toolkit.explainers import explain
from toolkit.explainers.oracle import evidence as evidence_of
from toolkit.games.attribution import Attribution
from toolkit.games.coalition_plan import plan_coalitions
from toolkit.games.derived import CoarseGame, merged_cells
from toolkit.games.game import CachedGame, Game
from toolkit.synergy.metrics import Metric
from toolkit.synergy.score import Score
from toolkit.vlm.protocol import VLM

METHODS = (
    "integrated-gradients", "input-x-gradient", "grad-cam", "attn-lrp", "rollout", "grad-rollout", "tam", "llava-cam",
    "random",
)  # fmt: skip
"""The paper's eight explainers and its floor: the nine that are ranked."""

SETTINGS = ("baseline mean", "baseline noise", "K 5", "K 20", "3 x 3 cells")
"""What is varied, one at a time, against blur, K = 10 and the model's own cells."""

Row: TypeAlias = dict[str, Any]
Step: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class StudySize:
    """How many samples each part of a study looks at.

    Attributes:
        controls: Samples with localised evidence for oracle, random and anti-oracle.
        halves: Of these, how many also judge the half-right maps.
        weights: Of these, how many are asked again with shuffled weights.
        methods: Samples for the nine ranked methods.
        settings: Of these, how many are ranked again under every other setting.
        diagnosis: Samples per dataset for the redundancy report.
        surrogate: Samples for the exact interaction index.
        flaws: Samples for the ablation of flaws, on the grounded models.
        steps: K.
        datasets: Which datasets take turns.
        explainers: Names of the ranked methods.
    """

    controls: int = 200
    halves: int = 40
    weights: int = 20
    methods: int = 20
    settings: int = 10
    diagnosis: int = 40
    surrogate: int = 2
    flaws: int = 5
    steps: int = 10
    datasets: tuple[str, ...] = ("scenes-existence", "scenes-choice")
    explainers: tuple[str, ...] = METHODS

    def scaled(self, controls: int) -> StudySize:
        """The same plan for another number of control samples; below 200 all parts shrink with it."""
        share = min(1.0, controls / self.controls)
        least = {"halves": 2, "weights": 2, "methods": 4, "settings": 2, "diagnosis": 8, "surrogate": 2, "flaws": 2}
        sizes = {name: max(floor, round(share * getattr(self, name))) for name, floor in least.items()}
        return replace(self, controls=controls, **sizes)

    def for_biased(self) -> StudySize:
        """What a biased twin is asked: enough for the twin rule and for its own rankings, under the default setting."""
        return replace(
            self, controls=min(self.controls, 60), methods=min(self.methods, 12), halves=0, weights=0, settings=0
        )


def score_all(
    game: Game, attributions: Sequence[Attribution], metrics: Mapping[str, Metric], steps: int
) -> list[dict[str, Score]]:
    """Scores by metric name of each attribution; every distinct coalition is asked once, all in one call."""
    cells = [metric.cells(attribution, steps) for attribution in attributions for metric in metrics.values()]
    cache = CachedGame(game)
    cache(plan_coalitions(np.concatenate(cells), game.players).cells)
    return [{name: metric.score(cache, a, steps) for name, metric in metrics.items()} for a in attributions]


def _rows(
    vlm: VLM, sample: Sample, part: str, setting: str, attributions: Sequence[Attribution],
    scores: Sequence[dict[str, Score]],
) -> Iterator[Row]:  # fmt: skip
    common = {
        "part": part, "model": vlm.name, "dataset": sample.dataset, "sample": sample.id,
        "image_id": sample.image_id or sample.id, "family": sample.truth.family if sample.truth else "",
        "gate": sample.truth.gate if sample.truth else "", "setting": setting,
    }  # fmt: skip
    for attribution, by_metric in zip(attributions, scores, strict=True):
        for name, score in by_metric.items():
            row = {"explainer": attribution.explainer, "metric": name, "value": score.value, "reason": score.reason}
            yield common | row | {"target": attribution.target}


def controls_of(vlm: VLM, sample: Sample, kinds: Sequence[str], *, seed: int) -> list[Attribution]:
    """The control attributions of a sample, for the model's own answer."""
    evidence, players, target = evidence_of(vlm, sample), vlm.players(sample), vlm.answer(sample).text
    return [control(kind, evidence, players, target, seed=seed) for kind in kinds]


def eligible(vlm: VLM, samples: Sequence[Sample], n: int) -> list[Sample]:
    """The first n samples whose evidence is localised."""
    found = (s for s in samples if localised(evidence_of(vlm, s), vlm.players(s)))
    return [sample for sample, _ in zip(found, range(n), strict=False)]


def study_controls(
    vlm: VLM, samples: Sequence[Sample], metrics: Mapping[str, Metric], plan: StudySize, step: Step
) -> list[Row]:
    """Oracle, random, anti-oracle, and on the first samples the half-right maps."""
    rows: list[Row] = []
    for number, sample in enumerate(eligible(vlm, samples, plan.controls)):
        kinds = ["oracle", "random", "anti-oracle", *(("words only", "cells only") if number < plan.halves else ())]
        attributions = controls_of(vlm, sample, kinds, seed=number)
        scores = score_all(vlm.game(sample), attributions, metrics, plan.steps)
        rows += _rows(vlm, sample, "controls", "default", attributions, scores)
        step(f"{vlm.name}: controls")
    return rows


def explain_all(vlm: VLM, sample: Sample, names: Sequence[str], *, seed: int) -> tuple[list[Attribution], list[Row]]:
    """Attributions by every named method; a method that fails gives a row with the reason instead."""
    found: list[Attribution] = []
    failed: list[Row] = []
    for name in names:
        try:
            found.append(explain(name, vlm, sample, seed=seed))
        except (ValueError, RuntimeError, MemoryError) as error:
            row = {"part": "failures", "model": vlm.name, "dataset": sample.dataset, "sample": sample.id}
            failed.append(row | {"explainer": name, "reason": f"{type(error).__name__}: {error}"})
    return found, failed


def study_methods(
    vlm: VLM, samples: Sequence[Sample], metrics: Mapping[str, Metric], plan: StudySize, step: Step
) -> list[Row]:
    """The ranked methods under the default setting, and on the first samples under every other one.

    Beside the metrics, each map's correlation with visual salience.
    """
    rows: list[Row] = []
    for number, sample in enumerate(samples[: plan.methods]):
        attributions, failed = explain_all(vlm, sample, plan.explainers, seed=number)
        rows += failed
        settings = ("default", *SETTINGS) if number < plan.settings else ("default",)
        for setting in settings:
            game, judged, steps = _under(vlm, sample, attributions, setting, plan.steps)
            scores = score_all(game, judged, metrics, steps)
            if setting == "default":
                for attribution, by_metric in zip(judged, scores, strict=True):
                    by_metric[SALIENCE.name] = salience(vlm, sample, attribution)
            rows += _rows(vlm, sample, "methods", setting, judged, scores)
        step(f"{vlm.name}: methods")
    return rows


def _under(
    vlm: VLM, sample: Sample, attributions: list[Attribution], setting: str, steps: int
) -> tuple[Game, list[Attribution], int]:
    """The game, the attributions and K of a setting."""
    kind, _, value = setting.partition(" ")
    if kind == "baseline":
        return vlm.game(sample, baseline=value), attributions, steps
    if kind == "K":
        return vlm.game(sample), attributions, int(value)
    if setting == "3 x 3 cells":
        game = CoarseGame(vlm.game(sample), merged_cells(vlm.regions(sample)))
        return game, [game.merge(attribution) for attribution in attributions], steps
    return vlm.game(sample), attributions, steps


def study_weights(
    vlm: VLM, shuffled: VLM, samples: Sequence[Sample], metrics: Mapping[str, Metric], plan: StudySize, step: Step
) -> list[Row]:
    """Oracle and random on the same samples and for the same answers, by a model with shuffled weights."""
    rows: list[Row] = []
    for number, sample in enumerate(eligible(vlm, samples, plan.weights)):
        attributions = controls_of(vlm, sample, ("oracle", "random"), seed=number)
        game = shuffled.game(sample, target=attributions[0].target)
        rows += _rows(
            vlm, sample, "weights", "shuffled", attributions, score_all(game, attributions, metrics, plan.steps)
        )
        step(f"{vlm.name}: shuffled weights")
    return rows


def shuffle_weights(vlm: VLM, *, seed: int = 0) -> VLM:
    """Permute the entries of every parameter of a loaded model, in place: all statistics stay, all meaning goes.

    Raises:
        TypeError: The model has no weights to shuffle.

    Reference: Adebayo et al., Sanity checks for saliency maps, 2018, arXiv 1810.03292.
    """
    import torch

    module = getattr(vlm, "model", None)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"{vlm.name!r} has no torch module under .model whose weights could be shuffled")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return vlm


def shared_samples(plan: StudySize, *, seed: int = 0) -> list[Sample]:
    """Samples of the plan's datasets, taking turns; enough that the localised ones among them suffice."""
    from toolkit.scenes import load

    per_set = -(-2 * max(plan.controls, plan.methods) // len(plan.datasets))
    columns = [load(name, "test", per_set, seed=seed) for name in plan.datasets]
    return [sample for turn in zip(*columns, strict=True) for sample in turn]


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a table with fixed columns, also where there are none."""
    columns = [
        "part", "model", "dataset", "sample", "image_id", "family", "gate", "setting", "explainer", "target", "metric",
        "value", "reason",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def values(table: pd.DataFrame, metric: str, part: str, method: str, setting: str = "default") -> NDArray[np.float64]:
    """Values of one method in sample order; NaN where unscored."""
    chosen = table[
        (table["metric"] == metric) & (table["part"] == part) & (table["explainer"] == method)
        & (table["setting"] == setting)
    ]  # fmt: skip
    return chosen.sort_values("sample")["value"].to_numpy(dtype=np.float64)
