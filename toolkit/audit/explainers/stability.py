"""Does a map stay when nothing that matters has changed? Seeds, baselines, small shifts, other wordings.

    rho = Spearman's rank correlation of the image cells' scores before and after, for the same answer

    seed        the explainer draws other random numbers
    baseline    removed cells become the mean colour, not the blur
    shift       the image moves by 2 % of its width, its border repeated
    paraphrase  the template of the question is worded otherwise: ``do you see a red circle ?``

A map that moves where the answer does not is uncertain by as much. Stability is not faithfulness: the outline of the
image is the steadiest map of all, so the table is read beside two controls, the evidence itself (oracle) and noise
(random, drawn anew for each map).

Reference: Alvarez-Melis and Jaakkola, On the robustness of interpretability methods, 2018, arXiv 1806.08049.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.games.attribution import Attribution
from toolkit.stats.estimates import clustered_mean
from toolkit.stats.rank_agreement import rank_correlation
from toolkit.vlm.protocol import VLM

CHANGES = ("seed", "baseline", "shift", "paraphrase")
OTHER_BASELINE = "mean"
SHIFT = 0.02
"""Share of the image's width by which it moves, at least a pixel."""

_WORDINGS = (
    (r"^is there (.*)$", r"do you see \1"),
    (r"^how many (.*) are there(.*)$", r"how many \1 do you see\2"),
    (r"^are there more (.*)$", r"do you see more \1"),
    (r"^what color is (.*)$", r"what is the color of \1"),
    (r"^where is the (.*)$", r"where do you see the \1"),
)
"""Templates of questions and another wording of each, with the embedded models' words only."""


def paraphrase(sample: Sample) -> Sample | None:
    """The same question in another wording; None where no template fits. The first letter keeps its case.

    Example:
        >>> import toolkit
        >>> sample = toolkit.load_samples("scenes-existence", n=1)[0]
        >>> sample.question, paraphrase(sample).question
        ('is there a yellow triangle ?', 'do you see a yellow triangle ?')
    """
    for pattern, wording in _WORDINGS:
        if re.match(pattern, sample.question, re.IGNORECASE):
            asked = re.sub(pattern, wording, sample.question, flags=re.IGNORECASE)
            asked = asked[0].upper() + asked[1:] if sample.question[0].isupper() else asked
            return dataclasses.replace(sample, id=f"{sample.id} paraphrased", question=asked)
    return None


def shifted(sample: Sample) -> Sample:
    """The sample with its images moved to the right by ``SHIFT`` of their width, the left border repeated."""
    first, *further = (_moved(image) for image in sample.images)
    return dataclasses.replace(sample, id=f"{sample.id} shifted", image=first, further_images=tuple(further))


def _moved(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    by = max(1, round(SHIFT * pixels.shape[1]))
    return Image.fromarray(np.concatenate([np.repeat(pixels[:, :1], by, axis=1), pixels[:, :-by]], axis=1))


def changed(
    explainer: ExplainerLike,
    vlm: VLM,
    sample: Sample,
    *,
    target: str,
    change: str,
    baseline: str = "blur",
    seed: int = 0,
) -> Attribution | None:
    """The explanation of the same answer after a change; None where the question has no other wording.

    ``random`` draws anew whatever is changed.

    Raises:
        ValueError: No such change.
    """
    if change not in CHANGES:
        raise ValueError(f"change must be one of {', '.join(CHANGES)}, got {change!r}")
    other = {"shift": shifted, "paraphrase": paraphrase}.get(change, lambda same: same)(sample)
    if other is None:
        return None
    moved = change == "seed" or get_explainer(explainer).name == "random"
    filling = (OTHER_BASELINE if baseline != OTHER_BASELINE else "blur") if change == "baseline" else baseline
    return explain(explainer, vlm, other, target=target, baseline=filling, seed=seed + moved)


def stability(
    explainers: Sequence[ExplainerLike], vlm: VLM, samples: Sequence[Sample], *, seed: int = 0
) -> pd.DataFrame:
    """Rank correlation of image maps before and after each change that should not matter.

    Args:
        explainers: Explainers; ``oracle`` (where the samples have evidence) and ``random`` are the controls.
        vlm: The model.
        samples: Samples; the explained answer is the model's to the unchanged one.
        seed: Seed of the explainers and of the intervals.

    Returns:
        One row per explainer and change: ``explainer, change, rho, low, high, same_answer, n_samples``; the 95 %
        interval is a bootstrap over images, ``same_answer`` the share of samples whose answer the change left alone.
        NaN where no map could be compared.
    """
    targets = [vlm.answer(sample).text for sample in samples]
    kept = {change: _kept(vlm, samples, targets, change) for change in CHANGES}
    rows = []
    for explainer in explainers:
        pairs = list(zip(samples, targets, strict=True))
        maps = [explain(explainer, vlm, s, target=t, seed=seed).of("image") for s, t in pairs]
        for change in CHANGES:
            found = [changed(explainer, vlm, s, target=t, change=change, seed=seed) for s, t in pairs]
            rhos = [
                math.nan if other is None else rank_correlation(own, other.of("image"))
                for own, other in zip(maps, found, strict=True)
            ]
            images = [s.image_id or s.id for s, rho in zip(samples, rhos, strict=True) if not math.isnan(rho)]
            known = [rho for rho in rhos if not math.isnan(rho)]
            mean = clustered_mean(known, images, rng=np.random.default_rng(seed))
            rows.append(
                (get_explainer(explainer).name, change, mean.mean, mean.low, mean.high, kept[change], len(known))
            )
    columns = ["explainer", "change", "rho", "low", "high", "same_answer", "n_samples"]
    return pd.DataFrame(rows, columns=columns)


def _kept(vlm: VLM, samples: Sequence[Sample], targets: Sequence[str], change: str) -> float:
    """Share of the changed samples with the answer of the unchanged ones; 1 where nothing that is asked changes."""
    if change not in ("shift", "paraphrase"):
        return 1.0
    asked = [(shifted(s) if change == "shift" else paraphrase(s), t) for s, t in zip(samples, targets, strict=True)]
    same = [vlm.answer(other).text == target for other, target in asked if other is not None]
    return float(np.mean(same)) if same else math.nan


def uncertainty(
    explainer: ExplainerLike,
    vlm: VLM,
    sample: Sample,
    attribution: Attribution,
    *,
    baseline: str = "blur",
    seed: int = 0,
) -> pd.DataFrame:
    """How much one explanation moves under the same changes.

    Returns:
        One row per change that applies: ``change, rho, top`` (rank correlation of the image cells with the given map,
        NaN of constant maps; whether the highest cell is the same).
    """
    own = attribution.of("image")
    rows = []
    for change in CHANGES:
        other = changed(explainer, vlm, sample, target=attribution.target, change=change, baseline=baseline, seed=seed)
        if other is not None:
            moved = other.of("image")
            rows.append((change, rank_correlation(own, moved), bool(own.argmax() == moved.argmax())))
    return pd.DataFrame(rows, columns=["change", "rho", "top"])
