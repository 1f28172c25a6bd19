"""Does a map point at the evidence? Pointing game and IoU against the generator's ground truth.

Plausibility is not faithfulness: a map can point at the right object although the model answered from the words, and
the tables say nothing about the model. They are read beside the twin that ignores the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.explainers.oracle import evidence
from toolkit.stats.estimates import clustered_mean
from toolkit.stats.rank_agreement import mean_and_error
from toolkit.synergy.pair_metrics import top_hits
from toolkit.typing import Scores
from toolkit.vlm.protocol import VLM


def pointing(scores: Scores, truth: Scores) -> float:
    """Pointing game: 1 if the highest score lies on evidence, else 0; ties share (expectation of a random choice).

    NaN where nothing, or everything, is evidence. ``truth`` (n,) in [0, 1]; evidence is what is at least half covered.
    """
    marked = truth >= 0.5
    if not marked.any() or marked.all():
        return math.nan
    return top_hits(scores, marked, 1)


def overlap(scores: Scores, truth: Scores) -> float:
    """IoU of the m highest scores with the m evidence players, in [0, 1]; NaN where nothing, or everything, is.

    Of players that tie at the threshold, each counts with the chance that it is among the m.
    """
    marked = truth >= 0.5
    m = int(marked.sum())
    if m == 0 or marked.all():
        return math.nan
    hits = top_hits(scores, marked, m)
    return hits / (2 * m - hits)


def chance(truth: Scores) -> float:
    """Pointing game of a random map: the share of players that are evidence."""
    marked = truth >= 0.5
    return math.nan if not marked.any() or marked.all() else float(marked.mean())


def plausibility(
    explainers: Sequence[ExplainerLike], vlm: VLM, samples: Sequence[Sample], *, seed: int = 0
) -> pd.DataFrame:
    """Pointing game and IoU by explainer and modality.

    Returns:
        One row for each modality: ``explainer, modality, pointing, pointing_se, pointing_low, pointing_high, iou,
        iou_se, iou_low, iou_high, chance, n_samples``; low and high are a 95 % bootstrap interval over images.

    Raises:
        ValueError: A sample carries no ground truth.
    """
    truths = [evidence(vlm, sample) for sample in samples]
    rows = []
    for explainer in explainers:
        name = get_explainer(explainer).name
        maps = [explain(explainer, vlm, sample, seed=seed) for sample in samples]
        for modality in ("image", "text"):
            masks = [att.players.of(modality) for att in maps]
            pairs = [(a.scores[mask], t[mask]) for a, t, mask in zip(maps, truths, masks, strict=True)]
            hits, ious = ([rule(*pair) for pair in pairs] for rule in (pointing, overlap))
            base = mean_and_error([chance(truth) for _, truth in pairs])[0]
            told = [(*mean_and_error(values)[:2], *_interval(values, samples, seed)) for values in (hits, ious)]
            rows.append((name, modality, *told[0], *told[1], base, mean_and_error(hits)[2]))
    bounds = [f"{what}{end}" for what in ("pointing", "iou") for end in ("", "_se", "_low", "_high")]
    return pd.DataFrame(rows, columns=["explainer", "modality", *bounds, "chance", "n_samples"])


def _interval(values: Sequence[float], samples: Sequence[Sample], seed: int) -> tuple[float, float]:
    """95 % bootstrap interval over images of the mean of the values that are not NaN."""
    known = [(x, s.image_id or s.id) for x, s in zip(values, samples, strict=True) if not math.isnan(x)]
    found = clustered_mean([x for x, _ in known], [i for _, i in known], rng=np.random.default_rng(seed))
    return found.low, found.high
