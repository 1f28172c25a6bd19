"""Numbers of a whole dataset from the corners of its samples, each with a bootstrap interval clustered by picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import CORNERS
from toolkit.redundancy.corners import CornerRecord
from toolkit.redundancy.gates import GATES, Noise, gate_of, parts
from toolkit.redundancy.pid import decompose_beliefs, entropy
from toolkit.redundancy.shares import modality_shares
from toolkit.stats.estimates import Estimate, clustered_mean

MAX_ANSWERS, MIN_SAMPLES, N_HALVES = 16, 8, 8


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
    """Mean total interaction, modality shares, and samples counted by the interaction's sign and by gate."""
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
                  "|text| / (|image| + |text|) of the Shapley values of two players, not of tokens as in MM-SHAP"),
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


Beliefs = dict[tuple[str, ...], NDArray[np.float64]]


def beliefs_by_options(records: Sequence[CornerRecord]) -> Beliefs:
    """Beliefs of the samples that offer the same answers, (n_samples, 4, n_answers), by the set of answers."""
    sets: dict[tuple[str, ...], list[NDArray[np.float64]]] = {}
    for record in records:
        choices = record.sample.choices or ()
        order = np.argsort(choices)
        sets.setdefault(tuple(sorted(choices)), []).append(record.normalised[:, order])
    return {options: np.stack(found) for options, found in sets.items()}


def information_about_options(by_options: Beliefs) -> float:
    """What the set of offered answers alone says about the answer, in bits: H(Y) - sum over sets of P(set) H(Y | set).

    A question with two options has a less uncertain answer than one with four, whatever a model sees or reads.
    """
    answers = sorted({answer for options in by_options for answer in options})
    n = sum(len(beliefs) for beliefs in by_options.values())
    pooled, within = np.zeros(len(answers)), 0.0
    for options, beliefs in by_options.items():
        mean = beliefs[:, CORNERS.index("both")].mean(axis=0)
        pooled[[answers.index(answer) for answer in options]] += len(beliefs) / n * mean
        within += len(beliefs) / n * entropy(mean)
    return entropy(pooled) - within


def information(records: Sequence[CornerRecord], seed: int, *, n_resamples: int = 50) -> list[Quantity]:
    """Partial information decomposition of the answer over the dataset, in bits, with clustered intervals.

    Samples that offer different sets of answers are decomposed apart, and the parts averaged over the sets by their
    numbers of samples: what the set itself says about the answer, a line of its own, is said by neither modality. Few
    samples bias each part; the bias, of order 1 / n, is estimated as the mean over random halves minus the value, and
    named in the meaning of each line.
    """
    meanings = {
        "redundancy": "what image and text both say about the answer",
        "unique image": "what only the image says",
        "unique text": "what only the text says",
        "synergy": "what only image and text together say",
        "options": "what the set of offered answers says, whatever is in image and text; in none of the other parts",
    }
    reason = _no_information(records)
    if reason is not None:
        nothing = math.nan
        return [
            Quantity(f"information, {part}", nothing, nothing, nothing, 0, "bit", meaning, reason)
            for part, meaning in meanings.items()
        ]
    found = _information(records)
    clusters, index = np.unique([r.cluster for r in records], return_inverse=True)
    members = [np.flatnonzero(index == c) for c in range(len(clusters))]
    rng = np.random.default_rng(seed)

    def drawn(n: int, replace: bool) -> NDArray[np.float64]:
        at = np.concatenate([members[c] for c in rng.choice(len(members), n, replace=replace)])
        return _information([records[i] for i in at], 5e-3)

    if len(members) < 2:
        resampled, bias = np.full((1, len(meanings)), math.nan), np.full(len(meanings), math.nan)
    else:
        resampled = np.array([drawn(len(members), True) for _ in range(n_resamples)])
        bias = np.mean([drawn(len(members) // 2, False) for _ in range(N_HALVES)], axis=0) - found
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return [
        Quantity(
            f"information, {part}", float(found[i]), float(low[i]), float(high[i]), len(records), "bit",
            meaning if math.isnan(bias[i]) else f"{meaning}; about {bias[i]:+.3f} of it by few samples",
        )
        for i, (part, meaning) in enumerate(meanings.items())
    ]  # fmt: skip


def _no_information(records: Sequence[CornerRecord]) -> str | None:
    if any(r.sample.choices is None for r in records):
        return "some samples have no choices, so there is no common distribution of answers"
    sets = beliefs_by_options(records)
    largest = max(len(options) for options in sets)
    if min(len(beliefs) for beliefs in sets.values()) < MIN_SAMPLES or largest > MAX_ANSWERS:
        counts = ", ".join(f"{len(beliefs)} samples with {len(options)} answers" for options, beliefs in sets.items())
        return f"needs at least {MIN_SAMPLES} samples of each set of at most {MAX_ANSWERS} answers, there are {counts}"
    return None


def _information(records: Sequence[CornerRecord], tolerance: float = 1e-3) -> NDArray[np.float64]:
    """Redundancy, unique image, unique text, synergy and options, in bits."""
    sets = beliefs_by_options(records)
    image, text, both = (CORNERS.index(corner) for corner in ("image", "text", "both"))
    total = np.zeros(4)
    for beliefs in sets.values():
        found = decompose_beliefs(
            beliefs[:, both], beliefs[:, image], beliefs[:, text], n_states=6, tolerance=tolerance
        )
        parts = [found.redundancy, found.unique_first, found.unique_second, found.synergy]
        total += len(beliefs) / len(records) * np.array(parts)
    return np.append(total, information_about_options(sets))
