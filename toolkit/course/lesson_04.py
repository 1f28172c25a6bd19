"""Lesson 04, is it a good surrogate: its quiz, its checkers, and the comparison with the exact index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.course.checks import Case, Verdict, check
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz
from toolkit.datasets.sample import Sample
from toolkit.explainers import explain
from toolkit.games.game import CachedGame
from toolkit.synergy import macro_game_sii, synergistic_faithfulness
from toolkit.vlm.protocol import VLM

if TYPE_CHECKING:
    import pandas as pd

QUESTIONS = (
    Question(
        "Pooled over samples, F_syn and the exact index correlate with rho = 0.92. What does this validate?",
        (
            Option(
                "That F_syn ranks explainers as the exact index does.",
                "Not yet. Samples differ far more than explainers do, so the pooled rho is mostly about samples.",
            ),
            Option(
                "That both numbers agree on which samples are synergistic.",
                "To rank explainers, compare within a sample and average over samples.",
                right=True,
            ),
            Option("Nothing at all.", "It does say something about samples; it is only used for another claim."),
        ),
    ),
    Question(
        "Why leave out k = 1 when comparing explainers?",
        (
            Option(
                "Because there every explainer has the same value, the total interaction.",
                "A shared end point raises every correlation and separates nobody.",
                right=True,
            ),
            Option(
                "Because the model is unreliable there.",
                "It is the one place where nothing is removed or added: the ordinary model.",
            ),
            Option("Because it is expensive.", "Its four coalitions are the corners, the cheapest of all."),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_cost(function: Callable[..., Any]) -> Verdict:
    """Check ``distinct_coalitions(steps, explainers)``."""
    cases = [
        Case((1, 1), 4, "With K = 1 only the four corners are left.", "only corners"),
        Case((10, 1), 76, "K = 10: 8 K - 4.", "one explainer"),
        Case((10, 9), 652, "Each further explainer adds 8 (K - 1): the corners are shared.", "nine explainers"),
        Case((5, 2), 36 + 32, "8 * 5 - 4 for the first, 8 * 4 for the second.", "two explainers"),
    ]
    return check(function, cases, solved="The paper's code runs 118 passes where 76 are distinct.")


@exercise
def check_within(function: Callable[..., Any]) -> Verdict:
    """Check ``within_agreement(first, second)``: mean over rows of the rank correlation over columns."""
    from scipy.stats import spearmanr

    rng = np.random.default_rng(5)
    a, b = rng.random((6, 5)), rng.random((6, 5))
    up = np.arange(4.0)
    shifted = np.stack([up, up + 100])
    mean = float(np.mean([spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]))
    cases = [
        Case((shifted, shifted), 1.0, "Equal rows agree perfectly.", "a table and itself"),
        Case(
            (shifted, np.stack([-up, -up + 100])),
            -1.0,
            "Within each row the order is reversed; that the second row is larger in both must not help.",
            "reversed within, equal between",
        ),
        Case((a, b), mean, "Rank correlation of each row, then the mean over rows.", "random tables"),
    ]
    return check(function, cases, tolerance=1e-9, solved="This is agreement about explainers, sample by sample.")


def agreements(table: pd.DataFrame) -> pd.Series[float]:
    """Rank correlation (Spearman) of surrogate and exact index over the explainers of each sample.

    Args:
        table: From :func:`surrogate_table`.

    Returns:
        One number per sample; NaN where one of the two gives all explainers the same value.
    """
    import pandas as pd
    from scipy.stats import spearmanr

    found = {}
    for sample, rows in table.groupby("sample"):
        constant = rows["surrogate"].nunique() < 2 or rows["exact"].nunique() < 2
        found[sample] = float("nan") if constant else float(spearmanr(rows["surrogate"], rows["exact"]).statistic)
    return pd.Series(found, name="agreement")


def surrogate_table(
    vlm: VLM, samples: Sequence[Sample], explainers: Sequence[str], *, steps: int = 4, n_background: int = 4
) -> pd.DataFrame:
    """F_syn beside the exact index of the macro-game, both as means over 0 < k < 1, and the cost of each.

    Args:
        vlm: The model.
        samples: The samples.
        explainers: Registry names.
        steps: K.
        n_background: Background players of the macro-game; the paper uses 6.

    Returns:
        One row per sample and explainer: surrogate, exact, and the distinct coalitions that each reads.
    """
    import pandas as pd

    rows = []
    for number, sample in enumerate(samples):
        game = CachedGame(vlm.game(sample))
        for name in explainers:
            attribution = explain(name, vlm, sample)
            score = synergistic_faithfulness(game, attribution, steps, tie_seeds=(0,))  # the order that the index takes
            exact = macro_game_sii(
                game, attribution, steps, rng=np.random.default_rng(number), n_background=n_background
            )
            inner = float(exact.curve[1:-1].mean())
            rows.append((sample.id, name, score.interior.value, inner, score.n_evaluations, exact.n_evaluations))
    return pd.DataFrame(rows, columns=["sample", "explainer", "surrogate", "exact", "surrogate cost", "exact cost"])
