"""Numbers of a whole dataset from the corners of its samples, each with a bootstrap interval clustered by picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.redundancy.corners import CORNERS, CornerRecord
from toolkit.redundancy.gates import GATES, Noise, gate_of, parts
from toolkit.redundancy.pid import Decomposition, decompose_beliefs
from toolkit.redundancy.shares import modality_shares
from toolkit.stats.estimates import Estimate, clustered_mean

MAX_ANSWERS = 16
PARTS = ("redundancy", "unique_first", "unique_second", "synergy")


@dataclass(frozen=True)
class Quantity:
    """One line of the report; ``value`` is NaN exactly when ``reason`` says why."""

    name: str
    value: float
    low: float
    high: float
    n: int
    unit: str
    meaning: str
    reason: str | None = None


def _quantity(name: str, estimate: Estimate, unit: str, meaning: str) -> Quantity:
    reason = "no sample to compute it from" if estimate.n == 0 else None
    return Quantity(name, estimate.mean, estimate.low, estimate.high, estimate.n, unit, meaning, reason)


def constant_accuracy(answers: Sequence[str]) -> float:
    """Accuracy of always giving the most frequent right answer; NaN without answers."""
    return max(answers.count(a) for a in set(answers)) / len(answers) if answers else math.nan


def accuracies(records: Sequence[CornerRecord], seed: int) -> list[Quantity]:
    """Accuracy of the answer at each corner, and of the best constant answer."""
    known = [r for r in records if r.sample.answer is not None and r.sample.choices is not None]
    meanings = {
        "both": "right answers with image and text",
        "image": "right answers when the text is removed",
        "text": "right answers when the image is removed",
        "empty": "right answers when both are removed",
    }
    lines = [
        _quantity(
            f"accuracy, {corner}",
            _mean([float(r.predicted_choice(corner) == r.sample.answer) for r in known], known, seed),
            "share",
            meanings[corner],
        )
        for corner in CORNERS
    ]
    constant = constant_accuracy([r.sample.answer for r in known if r.sample.answer is not None])
    reason = None if known else "no sample has choices and a right answer"
    meaning = "right answers of always saying the most frequent answer"
    return [
        *lines,
        Quantity("accuracy, constant answer", constant, math.nan, math.nan, len(known), "share", meaning, reason),
    ]


def _mean(values: Sequence[float], records: Sequence[CornerRecord], seed: int) -> Estimate:
    return clustered_mean(
        np.array(values, dtype=np.float64), [r.cluster for r in records], rng=np.random.default_rng(seed)
    )


def prior_rates(records: Sequence[CornerRecord], seed: int) -> list[Quantity]:
    """How often the answer is what the words alone suggest.

    The language-prior rate looks only at samples whose text-only answer is wrong: there a model that looks at the
    picture can do better, and one that does not repeats its text-only answer.
    """
    asked = [r for r in records if r.sample.choices is not None]
    same = [float(r.predicted_choice("both") == r.predicted_choice("text")) for r in asked]
    against = [r for r in asked if r.sample.answer is not None and r.predicted_choice("text") != r.sample.answer]
    stuck = [float(r.predicted_choice("both") == r.predicted_choice("text")) for r in against]
    counter = [r for r in asked if r.sample.truth and r.sample.truth.prior_answer not in (None, r.sample.answer)]
    stereotype = [
        float(r.sample.truth is not None and r.predicted_choice("both") == r.sample.truth.prior_answer) for r in counter
    ]
    return [
        _quantity("language-prior rate", _mean(stuck, against, seed), "share",
                  "same answer with the image as without it, where the answer without it is wrong"),
        _quantity("same answer without image", _mean(same, asked, seed), "share",
                  "answers that removing the image does not change"),
        _quantity("stereotype rate", _mean(stereotype, counter, seed), "share",
                  "stereotyped answers where the world's stereotype is wrong"),
    ]  # fmt: skip


def corner_quantities(records: Sequence[CornerRecord], noise: Noise, seed: int) -> list[Quantity]:
    """Mean total interaction, modality shares, and two countings of samples: by the sign of the interaction, and by gate."""
    shares = [modality_shares(r.corners) for r in records]
    gates = [gate_of(r.corners, noise.threshold) for r in records]
    lines = [
        _quantity("total interaction", _mean([r.corners.total_interaction for r in records], records, seed),
                  "probability", "of image and text: positive synergy, negative redundancy"),
        _quantity("Shapley value, image", _mean([s.image for s in shares], records, seed), "probability",
                  "exact value of the image in the two-player game"),
        _quantity("Shapley value, text", _mean([s.text for s in shares], records, seed), "probability",
                  "exact value of the text in the two-player game"),
        _quantity("text share", _mean([s.text_share for s in shares], records, seed), "share",
                  "|text| / (|image| + |text|) of the Shapley values"),
    ]  # fmt: skip
    found = [parts(r.corners) for r in records]
    lines += [
        _quantity(f"part, {name}", _mean([getattr(p, name) for p in found], records, seed), "probability", meaning)
        for name, meaning in (
            ("synergy", "gained only when image and text are both there"),
            ("redundancy", "brought by either alone, and only once by both"),
            ("interference", "lost when image and text are both there"),
            ("text", "brought by the text alone, beyond redundancy"),
            ("image", "brought by the image alone, beyond redundancy"),
        )
    ]
    negative = [float(r.corners.total_interaction < -noise.interaction) for r in records]
    lines.append(
        _quantity("negative interaction beyond noise", _mean(negative, records, seed), "share",
                  "samples whose total interaction is below 0 by more than its noise, whatever their largest part")
    )  # fmt: skip
    return lines + [
        _quantity(f"gate, {gate}", _mean([float(g == gate) for g in gates], records, seed), "share",
                  "samples whose largest part is this one, beyond the measured noise")
        for gate in GATES
    ]  # fmt: skip


def stacked_beliefs(records: Sequence[CornerRecord]) -> NDArray[np.float64]:
    """Beliefs over the union of all answers, shape (n_samples, 4, n_answers); impossible answers have 0."""
    answers = sorted({choice for r in records for choice in r.sample.choices or ()})
    stacked = np.zeros((len(records), len(CORNERS), len(answers)))
    for row, record in enumerate(records):
        stacked[row][:, [answers.index(choice) for choice in record.sample.choices or ()]] = record.normalised
    return stacked


def information(records: Sequence[CornerRecord], seed: int, *, n_resamples: int = 50) -> list[Quantity]:
    """Partial information decomposition of the answer over the dataset, in bits, with clustered intervals."""
    meanings = {
        "redundancy": "what image and text both say about the answer",
        "unique_first": "what only the image says",
        "unique_second": "what only the text says",
        "synergy": "what only image and text together say",
    }
    names = dict(zip(PARTS, ("redundancy", "unique image", "unique text", "synergy"), strict=True))
    n_answers = len({choice for r in records for choice in r.sample.choices or ()})
    reason = _no_information(records, n_answers)
    if reason is not None:
        return [
            Quantity(f"information, {names[p]}", math.nan, math.nan, math.nan, 0, "bit", meanings[p], reason)
            for p in PARTS
        ]
    beliefs = stacked_beliefs(records)
    found = _decompose(beliefs)
    clusters, index = np.unique([r.cluster for r in records], return_inverse=True)
    members = [np.flatnonzero(index == c) for c in range(len(clusters))]
    rng = np.random.default_rng(seed)
    resampled = [
        _decompose(beliefs[np.concatenate([members[c] for c in rng.integers(len(members), size=len(members))])], 5e-3)
        for _ in range(n_resamples if len(members) > 1 else 0)
    ]
    lines = []
    for part in PARTS:
        drawn = [getattr(d, part) for d in resampled] or [math.nan]
        low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
        lines.append(
            Quantity(
                f"information, {names[part]}", getattr(found, part), low, high, len(records), "bit", meanings[part]
            )
        )
    return lines


def _no_information(records: Sequence[CornerRecord], n_answers: int) -> str | None:
    if any(r.sample.choices is None for r in records):
        return "some samples have no choices, so there is no common distribution of answers"
    if len(records) < 8 or n_answers > MAX_ANSWERS:
        return f"needs at least 8 samples and at most {MAX_ANSWERS} answers, there are {len(records)} and {n_answers}"
    return None


def _decompose(beliefs: NDArray[np.float64], tolerance: float = 1e-3) -> Decomposition:
    both, image, text = (beliefs[:, CORNERS.index(corner)] for corner in ("both", "image", "text"))
    return decompose_beliefs(both, image, text, n_states=6, tolerance=tolerance)
