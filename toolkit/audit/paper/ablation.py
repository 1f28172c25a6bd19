"""The effect of each flaw on scores, on the explainers' ranking, and on the number that it distorts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from toolkit.audit.metrics.study import controls_of
from toolkit.audit.paper.flaws import FLAWS, GAP, Case, Spoiled, correct, gap, ranked_columns
from toolkit.datasets.sample import Sample
from toolkit.games.game import CachedGame
from toolkit.measuring import attributions_of
from toolkit.stats.correlation import kendall_tau
from toolkit.stats.estimates import cluster_weights
from toolkit.vlm.protocol import VLM

N_DRAWS = 500


def cases_of(vlm: VLM, samples: Sequence[Sample], explainers: Sequence[str]) -> list[Case]:
    """Samples with the attributions of the ranked explainers, then oracle and anti-oracle; complete ones only."""
    cases = []
    for number, sample in enumerate(samples):
        tried = attributions_of(vlm, sample, explainers, target=vlm.answer(sample).text, seeds=[number])
        attributions = [one.attribution for one in tried if one.attribution is not None]
        if len(attributions) == len(tried):
            missing = [kind for kind in ("oracle", "anti-oracle") if kind not in explainers]
            attributions += controls_of(vlm, sample, missing, seed=number)
            cases.append(Case(vlm, sample, tuple(attributions), CachedGame(vlm.game(sample))))
    return cases


def kendall_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> int:
    """Pairs that the second ranking does not order as the first one does; a tie in the second counts as one."""
    pairs = itertools.combinations(range(len(first)), 2)
    return sum(np.sign(first[i] - first[j]) != np.sign(second[i] - second[j]) for i, j in pairs)


def distance_by_chance(scores: NDArray[np.float64], *, seed: int = 0) -> float:
    """Mean Kendall distance between the ranking of samples and that of resampled ones: what is no flaw's doing.

    Args:
        scores: Shape (n_samples, n_methods).
        seed: Of the resamples.
    """
    weights = cluster_weights(len(scores), N_DRAWS, np.random.default_rng(seed)) / len(scores)
    right = scores.mean(axis=0)
    return float(np.mean([kendall_distance(right, means) for means in weights @ scores]))


def ablate(
    vlm: VLM, samples: Sequence[Sample], explainers: Sequence[str], *, flaws: Sequence[str] | None = None
) -> pd.DataFrame:
    """What each flaw does to signed F_syn on one model: the scores, and the ranking of the explainers.

    Columns: the number that the flaw distorts (``quantity``), without it and with it; mean absolute change of a score;
    Kendall distance and tau to the correct ranking, and beside them the distance that resampling the same samples
    brings about by itself.

    Args:
        vlm: The model.
        samples: With their truth; only those that all explainers can explain count.
        explainers: The ranked explainers; oracle and anti-oracle are added.
        flaws: Names; None switches each one on in turn.

    Raises:
        UnknownNameError: No flaw has this name.
        ValueError: No sample that all explainers can explain.
    """
    wanted = {name: FLAWS[name] for name in (FLAWS if flaws is None else flaws)}
    cases = cases_of(vlm, samples, explainers)
    if not cases:
        raise ValueError("no sample could be explained by every explainer; the ablation needs at least one")
    right = np.array([correct(case) for case in cases])
    whole = gap(cases[0], right)
    rows = [_row("none", 0, "nothing is wrong", cases[0], right, Spoiled(right, GAP, whole, whole))]
    rows += [
        _row(name, flaw.number, flaw.what, cases[0], right, flaw.spoil(cases, right)) for name, flaw in wanted.items()
    ]
    table = pd.DataFrame(rows).sort_values("number", kind="stable").set_index("flaw")
    return table.assign(**{"distance by chance": distance_by_chance(right[:, ranked_columns(cases[0])])})


def _row(name: str, number: int, what: str, case: Case, right: NDArray[np.float64], spoiled: Spoiled) -> dict[str, Any]:
    ranked = ranked_columns(case)
    means, correct_means = np.nanmean(spoiled.scores, axis=0)[ranked], right.mean(axis=0)[ranked]
    return {
        "flaw": name, "model": case.vlm.name, "number": number, "what": what, "quantity": spoiled.quantity,
        "without": spoiled.without, "with": spoiled.flawed,
        "mean change": float(np.nanmean(np.abs(spoiled.scores - right))),
        "Kendall distance": kendall_distance(correct_means, means), "pairs": len(ranked) * (len(ranked) - 1) // 2,
        "tau": kendall_tau(correct_means, means).tau, "n": len(right), "note": spoiled.note,
    }  # fmt: skip
