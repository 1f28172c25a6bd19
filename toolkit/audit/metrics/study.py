"""Measure everything that the panel's model rules need from one model, as one tidy table.

A row is one metric of one attribution of one sample under one setting. Judging comes later and needs no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from toolkit.audit.metrics.controls import control, half_right_floor, localised
from toolkit.audit.metrics.fills import UNTRAINED
from toolkit.audit.metrics.rules import rule_of
from toolkit.audit.metrics.salience import SALIENCE, salience
from toolkit.audit.metrics.two_player_macro import compare_with_exact
from toolkit.datasets.sample import Sample
from toolkit.explainers import PAPERS_EIGHT
from toolkit.explainers.oracle import evidence as evidence_of
from toolkit.games.attribution import Attribution
from toolkit.games.derived import CoarseGame, merged_cells
from toolkit.games.game import Game
from toolkit.measuring import COLUMNS, Row, attributions_of, reason_of, rows_of, sample_columns
from toolkit.synergy.evaluate import evaluate_all
from toolkit.synergy.metrics import Metric
from toolkit.synergy.ordering import reference_orderings
from toolkit.synergy.score import Score
from toolkit.vlm.protocol import VLM

FILLS = tuple(f"baseline {name}" for name in UNTRAINED)
SETTINGS = (*FILLS, "K 5", "K 20", "3 x 3 cells")
"""What is varied, one at a time, against blur, K = 10 and the model's own cells."""

N_ORDERS, FLOOR = 8, "half-right floor"
"""Orders of what a map ties, which it is compared with; what F_syn's steps leave half-right maps."""

SPARE = 1.5
"""Planned samples per sample that a rule needs: a metric may leave one of three unscored and is still judged."""

Step: TypeAlias = Callable[[str], None]


def planned(*checks: str) -> int:
    """How many samples a part is planned with, so that its rules find enough that a metric scores."""
    return math.ceil(SPARE * max(rule_of(check).n_min for check in checks))


@dataclass(frozen=True)
class StudySize:
    """How many samples each part of a study looks at; of parts that rules judge, ``SPARE`` times what these need.

    Attributes:
        controls: Samples with localised evidence for oracle, random and anti-oracle.
        halves: Of these, how many also judge the half-right maps and the maps with ties.
        weights: Of these, how many are asked again with shuffled weights.
        redundant: Samples of everyday objects, redundant by construction, for the same three controls.
        ranking: Samples for the nine ranked explainers.
        settings: Of these, how many are ranked again under every other setting.
        diagnosis: Samples per dataset for the redundancy report.
        surrogate: Of the ranked samples, how many are asked for the exact interaction index.
        flaws: Samples for the ablation of flaws, on the grounded models.
        steps: K.
        datasets: Which datasets take turns.
        explainers: Names of the ranked explainers: the paper's eight and its floor.
    """

    controls: int = planned("controls", "scored")
    halves: int = planned("half right, models", "constant map", "image-only map")
    weights: int = planned("random weights")
    redundant: int = planned("redundant controls", "constant map", "image-only map")
    ranking: int = planned("seeds")
    settings: int = planned("fills", "steps", "granularity")
    diagnosis: int = 30
    surrogate: int = 20
    flaws: int = 3
    steps: int = 10
    datasets: tuple[str, ...] = ("scenes-existence", "scenes-choice")
    explainers: tuple[str, ...] = (*PAPERS_EIGHT, "random")

    def scaled(self, controls: int) -> StudySize:
        """The same plan for another number of control samples; below the plan's all parts shrink with it."""
        share = min(1.0, controls / self.controls)
        least = {
            "halves": 2,
            "weights": 2,
            "redundant": 2,
            "ranking": 4,
            "settings": 2,
            "diagnosis": 8,
            "surrogate": 2,
            "flaws": 2,
        }
        sizes = {name: max(floor, round(share * getattr(self, name))) for name, floor in least.items()}
        return replace(self, controls=controls, **sizes)

    def for_biased(self) -> StudySize:
        """What a biased twin is asked: enough for the twin rule and for its own rankings, under the default setting."""
        return replace(
            self, controls=min(self.controls, planned("twins")), ranking=min(self.ranking, 10), halves=0, weights=0,
            redundant=0, settings=0, surrogate=0, flaws=0,
        )  # fmt: skip


def _rows(
    vlm: VLM, sample: Sample, part: str, setting: str, attributions: Sequence[Attribution],
    scores: Sequence[Mapping[str, Score]], seed: int,
) -> Iterator[Row]:  # fmt: skip
    setting_of = {
        "part": part, "setting": setting,
        "family": sample.truth.family if sample.truth else "", "gate": sample.truth.gate if sample.truth else "",
        "question": sample.question,
    }  # fmt: skip
    return (row | setting_of for row in rows_of(vlm, sample, attributions, scores, seeds=seed))


def controls_of(vlm: VLM, sample: Sample, kinds: Sequence[str], *, seed: int) -> list[Attribution]:
    """The control attributions of a sample, for the model's own answer."""
    evidence, players, target = evidence_of(vlm, sample), vlm.players(sample), vlm.answer(sample).text
    return [control(kind, evidence, players, target, seed=seed) for kind in kinds]


def eligible(vlm: VLM, samples: Sequence[Sample], n: int) -> list[Sample]:
    """The first n samples whose evidence is localised."""
    found = (s for s in samples if localised(evidence_of(vlm, s), vlm.players(s)))
    return [sample for sample, _ in zip(found, range(n), strict=False)]


def study_controls(
    vlm: VLM, samples: Sequence[Sample], metrics: Sequence[str | Metric], plan: StudySize, step: Step,
    part: str = "controls",
) -> list[Row]:  # fmt: skip
    """Oracle, random, anti-oracle, and on the first samples the half-right maps and those with ties."""
    rows: list[Row] = []
    for number, sample in enumerate(eligible(vlm, samples, plan.controls)):
        more = number < plan.halves
        kinds = ["oracle", "random", "anti-oracle"]
        kinds += ["words only", "cells only", "constant", "image-only"] if more else []
        attributions = controls_of(vlm, sample, kinds, seed=number)
        attributions += _orders(attributions[-2:]) if more else []
        scores = evaluate_all(vlm.game(sample), attributions, plan.steps, metrics=metrics)
        rows += _rows(vlm, sample, part, "default", attributions, scores, number)
        if more and part == "controls":
            known = evidence_of(vlm, sample)
            floor = half_right_floor(known, vlm.players(sample), plan.steps)
            rows.append(sample_columns(vlm, sample) | {"part": "floor", "metric": FLOOR, "value": floor})
        step(f"{vlm.name}: {part}")
    return rows


def _orders(tied: Sequence[Attribution]) -> list[Attribution]:
    """For each map with ties, maps that break them at random: those of a constant map are the reference orderings."""
    found = []
    for one in tied:
        for draw in reference_orderings(one.players, N_ORDERS, 0, target=one.target):
            of_words = np.where(one.players.of("text"), draw.scores, 0.0)
            scores = draw.scores if one.explainer == "constant" else one.scores * one.players.n + of_words
            found.append(Attribution(scores, one.players, f"{one.explainer}, ordered", one.target))
    return found


def study_redundant(
    vlm: VLM, samples: Sequence[Sample], metrics: Sequence[str | Metric], plan: StudySize, step: Step
) -> list[Row]:
    """The same controls on samples that are redundant by construction."""
    redundant = [sample for sample in samples if sample.truth is not None and sample.truth.gate == "redundancy"]
    size = replace(plan, controls=plan.redundant, halves=plan.redundant)
    return study_controls(vlm, redundant, metrics, size, step, "redundant")


def study_explainers(
    vlm: VLM, samples: Sequence[Sample], metrics: Sequence[str | Metric], plan: StudySize, step: Step
) -> tuple[list[Row], list[Row]]:
    """The ranked explainers under the default setting, and on the first samples under every other one.

    Beside the metrics, each map's correlation with visual salience; then the rows of the exact index of the same maps.
    """
    rows: list[Row] = []
    exact: list[Row] = []
    for number, sample in enumerate(samples[: plan.ranking]):
        target = vlm.answer(sample).text
        tried = attributions_of(vlm, sample, plan.explainers, target=target, seeds=[number])
        attributions = [one.attribution for one in tried if one.attribution is not None]
        rows += [
            sample_columns(vlm, sample)
            | {"part": "failures", "explainer": one.explainer, "seed": number, "reason": reason_of(one.error)}
            for one in tried
            if one.error is not None
        ]
        settings = ("default", *SETTINGS) if number < plan.settings else ("default",)
        for setting in settings:
            game, judged, steps = _under(vlm, sample, attributions, setting, plan.steps)
            scores = evaluate_all(game, judged, steps, metrics=metrics)
            if setting == "default":
                for attribution, by_metric in zip(judged, scores, strict=True):
                    by_metric[SALIENCE.name] = salience(vlm, sample, attribution)
            rows += _rows(vlm, sample, "explainers", setting, judged, scores, number)
        if number < plan.surrogate:
            exact += compare_with_exact(vlm.name, sample, vlm.game(sample), attributions, seed=number)
        step(f"{vlm.name}: explainers")
    return rows, exact


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
    vlm: VLM, shuffled: VLM, samples: Sequence[Sample], metrics: Sequence[str | Metric], plan: StudySize, step: Step
) -> list[Row]:
    """Oracle and random on the same samples and for the same answers, by a model with shuffled weights."""
    rows: list[Row] = []
    for number, sample in enumerate(eligible(vlm, samples, plan.weights)):
        attributions = controls_of(vlm, sample, ("oracle", "random"), seed=number)
        game = shuffled.game(sample, target=attributions[0].target)
        scores = evaluate_all(game, attributions, plan.steps, metrics=metrics)
        rows += _rows(vlm, sample, "weights", "shuffled", attributions, scores, number)
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

    per_set = -(-2 * max(plan.controls, plan.ranking) // len(plan.datasets))
    columns = [load(name, "test", per_set, seed=seed) for name in plan.datasets]
    return [sample for turn in zip(*columns, strict=True) for sample in turn]


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a table with fixed columns, also where there are none."""
    return pd.DataFrame(rows, columns=["part", "setting", "family", "gate", "question", *COLUMNS])


def values(
    table: pd.DataFrame, metric: str, part: str, explainer: str, setting: str = "default"
) -> NDArray[np.float64]:
    """Values of one explainer in sample order; NaN where unscored."""
    chosen = table[
        (table["metric"] == metric) & (table["part"] == part) & (table["explainer"] == explainer)
        & (table["setting"] == setting)
    ]  # fmt: skip
    return chosen.sort_values("sample")["value"].to_numpy(dtype=np.float64)
