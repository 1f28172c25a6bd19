"""Do signed pairs of cells and words find the evidence? Recovery of known pairs, with controls.

On a generated sample whose answer needs image and words, the pairs that decide it are known: every evidence cell with
every evidence word. An explainer that gives pairs is judged by whether it ranks them first; one that gives only a score
per player by the product of its scores, which is the baseline that explaining pairs has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from toolkit.audit.study_rows import Watch, mean_table, study_rows
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.explainers.oracle import evidence
from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.synergy import evaluate_all, total_interaction
from toolkit.synergy.pair_metrics import HeldOut, pair_gain, pairs_of, recovery
from toolkit.vlm.protocol import VLM

ORACLE, SHUFFLED = "pair oracle", "shuffled pairs"
GIVERS: tuple[str, ...] = ("banzhaf-interaction", "gradient-interaction", "occlusion", "kernel-shap", "rollout")
"""What ``pair_recovery`` asks by default: two that give pairs, three whose scores are multiplied."""

SCORES = ("auc", "precision", "pair_gain", "added_r2", "f_syn")

SMALLEST_INTERACTION = 0.1
"""A total interaction below this has no pairs to find."""


def evidence_pairs(vlm: VLM, sample: Sample) -> NDArray[np.bool_]:
    """The pairs that decide a generated sample: evidence cell and evidence word; shape (n_image, n_text).

    Raises:
        ValueError: The sample carries no ground truth.
    """
    found = evidence(vlm, sample) >= 0.5
    n_image = vlm.players(sample).n_image
    return np.asarray(np.outer(found[:n_image], found[n_image:]))


@dataclass(frozen=True)
class PairReport:
    """How well explainers recover known pairs.

    Attributes:
        rows: ``model, sample, image_id, explainer, gives, auc, precision, pair_gain, added_r2, f_syn``; one row per
            model, sample and explainer.
        n_asked: Samples that were offered, those of every model counted.
    """

    rows: pd.DataFrame
    n_asked: int

    def table(self) -> pd.DataFrame:
        """One row per model and explainer, a model's best first: its scores with intervals, where they are known."""
        columns = [name for name in SCORES if name in self.rows]
        table = mean_table(self.rows, ["model", "explainer", "gives"], columns)
        place = pd.Categorical(table["model"], table["model"].unique())
        ranked = table.assign(model=place).sort_values(["model", "auc"], ascending=[True, False], ignore_index=True)
        return ranked.astype({"model": str})

    def verdict(self) -> str:
        """What the table says of every model, or why it says nothing."""
        table = self.table()
        return " ".join(_say(model, table[table["model"] == model]) for model in table["model"].unique())


def _say(model: str, table: pd.DataFrame) -> str:
    rows = {str(row["explainer"]): row for row in table.to_dict("records")}
    shuffled = rows.pop(SHUFFLED)
    if not shuffled["auc low"] <= 0.5 <= shuffled["auc high"]:
        return f"Of {model} nothing can be said: the shuffled pairs, which know nothing, are not at one half."
    del rows[ORACLE]
    finds = [name for name, row in rows.items() if row["auc low"] > 0.5]
    if not finds:
        return f"On {model} no explainer finds the pairs that decide the answer better than chance."
    said = f"On {model} these find the pairs better than chance: {', '.join(finds)}."
    best, rival = (
        next((row for row in rows.values() if row["gives"] == kind), None) for kind in ("pairs", "a product")
    )
    if best is not None and rival is not None:
        beats = "beats" if best["auc low"] > rival["auc high"] else "does not clearly beat"
        said += (
            f" The best that gives pairs, {best['explainer']} (AUC {best['auc']:.2f}), {beats} the best product of "
            f"scores, {rival['explainer']} ({rival['auc']:.2f})."
        )
        said += "" if beats == "beats" else " That pairs beat products is not supported."
    return said


def pair_recovery(
    vlms: Sequence[VLM],
    samples: Sequence[Sample],
    explainers: Sequence[ExplainerLike] = GIVERS,
    *,
    seed: int = 0,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> PairReport:
    """Judge explainers by the pairs that are known to decide generated samples.

    Asked are samples whose truth is some of the pairs, that a model answers rightly and whose total interaction is
    at least 0.1; the controls are the truth itself and the first explainer's pairs in a random order. All models are
    asked about a sample before the next one, so a study that is stopped has as many samples of each.

    Args:
        vlms: The models.
        samples: Generated samples.
        explainers: Registry names, explainer objects or functions.
        seed: Seed of everything random.
        folder: Where ``pairs.jsonl`` is kept, so that a stopped study goes on; None keeps nothing.
        watch: Called as watch(done, total) after every sample.

    Raises:
        ValueError: No sample can be asked, or the folder holds another study.

    Example:
        >>> import toolkit
        >>> from toolkit.audit.explainers.map_grid import localised_samples
        >>> vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
        >>> report = pair_recovery([vlm], localised_samples(2), ["occlusion"])
        >>> sorted(report.table()["explainer"])
        ['occlusion', 'pair oracle', 'shuffled pairs']
    """
    names, models = [get_explainer(one).name for one in explainers], [vlm.name for vlm in vlms]
    head = {"study": "pairs", "models": models, "explainers": names, "seed": seed}
    units = {
        f"{vlm.name}/{sample.id}": partial(_measure, vlm, sample, explainers, seed + number)
        for number, sample in enumerate(samples)
        for vlm in vlms
    }
    rows = study_rows(folder and folder / "pairs.jsonl", head, units, watch)
    if rows.empty:
        raise ValueError(
            f"none of {len(samples)} samples can be asked: each needs a truth that is some of the pairs, a right "
            f"answer of {' or '.join(models)} and a total interaction of at least {SMALLEST_INTERACTION}; give "
            "generated samples (scenes-existence, scenes-choice) and a grounded model"
        )
    return PairReport(rows, len(units))


def _measure(vlm: VLM, sample: Sample, explainers: Sequence[ExplainerLike], seed: int) -> list[dict[str, Any]]:
    """Rows of a sample; none where it cannot be asked."""
    truth, game = evidence_pairs(vlm, sample), vlm.game(sample)
    if not truth.any() or truth.all() or game.target != sample.answer:
        return []
    if total_interaction(game).value < SMALLEST_INTERACTION:
        return []
    maps = [explain(one, vlm, sample, target=game.target, seed=seed) for one in explainers]
    shuffled = np.random.default_rng(seed).permutation(pairs_of(maps[0]).ravel()).reshape(truth.shape)
    maps += [
        InteractionAttribution.from_pairs(pairs, game.players, name, game.target)
        for name, pairs in ((ORACLE, truth.astype(np.float64)), (SHUFFLED, shuffled))
    ]
    held_out, of_players = HeldOut(game, seed=seed), evaluate_all(game, maps, metrics=["f-syn"])
    rows = []
    for one, by_metric in zip(maps, of_players, strict=True):
        pairs, kind = pairs_of(one), "control" if one.explainer in (ORACLE, SHUFFLED) else gives(one)
        scores = (*recovery(pairs, truth), pair_gain(game, pairs, seed=seed), held_out.added(pairs))
        who = {"model": vlm.name, "sample": sample.id, "image_id": sample.image_id or sample.id}
        who |= {"explainer": one.explainer, "gives": kind}
        rows.append({**who, **dict(zip(SCORES, (*scores, by_metric["f-syn"].value), strict=True))})
    return rows


def gives(attribution: Attribution) -> str:
    """What an explainer says of pairs: ``"pairs"``, or ``"a product"`` of its scores."""
    return "pairs" if isinstance(attribution, InteractionAttribution) else "a product"
