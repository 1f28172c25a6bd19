"""Lesson 05, explainers: its quiz, its checkers, and the sanity check by random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.course.checks import Case, Verdict, check
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz
from toolkit.datasets.sample import Sample
from toolkit.explainers import EXPLAINERS, explain
from toolkit.games.analytic import SumOfUnanimityGames, additive
from toolkit.games.game import Players
from toolkit.vlm.protocol import VLM

if TYPE_CHECKING:
    import pandas as pd

QUESTIONS = (
    Question(
        "You replace the model's weights by random numbers, and the explainer's map hardly changes. What follows?",
        (
            Option(
                "The explainer is robust.",
                "Robust to the one thing it should explain: the model. A map that does not depend on the weights "
                "describes the input.",
            ),
            Option("The model was not trained.", "Then both maps would be poor, but the test would not tell you."),
            Option(
                "The map does not explain this model.",
                "It is the sanity check of Adebayo et al.: a necessary condition, not a sufficient one.",
                right=True,
            ),
        ),
    ),
    Question(
        "Integrated gradients adds up to v(all) - v(baseline) within 0.001. Is the map right?",
        (
            Option(
                "The integral is computed well; whether its answer is the one you want is another question.",
                "Completeness checks the arithmetic. The baseline and the path still shape the map.",
                right=True,
            ),
            Option(
                "Yes, completeness guarantees it.",
                "Any numbers with the right sum are complete, for example all of it on one cell.",
            ),
            Option("No, gradients are never right.", "They are exact derivatives; the question is what they mean."),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_leave_one_out(function: Callable[..., Any]) -> Verdict:
    """Check ``leave_one_out(game)``: v(all) - v(all without i) for every player i."""
    players = Players.make(("a", "b"), ("x",))
    one = SumOfUnanimityGames(players, {(): 0.1, (0,): 0.5, (0, 2): 0.3})
    many = SumOfUnanimityGames(players, {(0,): 0.2, (1,): -0.1, (0, 1, 2): 0.4})
    cases = [
        Case(
            (additive(1, 1),),
            np.array([0.5, 0.5]),
            "Each of the two players adds 1/2. Make a boolean table, one row per coalition, and call the game once.",
            "additive",
        ),
        Case(
            (one,),
            np.array([0.8, 0.0, 0.3]),
            "Start from everybody (np.ones) and switch one player off; one coalition per player.",
            "a null player and an interaction",
        ),
        Case((many,), np.array([0.6, 0.3, 0.4]), "Compare with everybody, not with nobody.", "one that speaks against"),
    ]
    return check(function, cases, tolerance=1e-9, solved="That is occlusion: one forward pass per player, plus one.")


@exercise
def check_completeness(function: Callable[..., Any]) -> Verdict:
    """Check ``completeness_gap(scores, v_all, v_none)``."""
    cases = [
        Case((np.array([0.2, 0.3]), 0.9, 0.4), 0.0, "0.2 + 0.3 is 0.9 - 0.4: no gap.", "complete"),
        Case((np.array([0.2, 0.1]), 0.9, 0.4), 0.2, "0.3 is handed out, 0.5 was there.", "too little"),
        Case((np.array([0.9]), 0.9, 0.4), 0.4, "The gap has no sign: use abs.", "too much"),
        Case(
            (np.array([0.7, -0.2]), 0.9, 0.4), 0.0, "Negative scores count as negative: abs of the sum.", "with a minus"
        ),
    ]
    return check(function, cases, solved="The toolkit keeps this number as the convergence delta.")


def what_they_are(names: Sequence[str]) -> pd.DataFrame:
    """Explainers with what they ask of the model, what they cost, and where they come from."""
    import pandas as pd

    found = [EXPLAINERS[name]() for name in names]
    rows = [(e.name, ", ".join(sorted(e.needs)) or "nothing", e.cost, e.reference) for e in found]
    return pd.DataFrame(rows, columns=["explainer", "asks for", "cost", "reference"]).set_index("explainer")


def sanity(trained: VLM, other: VLM, samples: Sequence[Sample], explainers: Sequence[str]) -> pd.Series[float]:
    """Mean rank correlation between the maps of two models for the same answer; near 0 is what a sane explainer shows.

    Args:
        trained: The model.
        other: The same architecture with other weights.
        samples: What both explain.
        explainers: Registry names.
    """
    import pandas as pd
    from scipy.stats import spearmanr

    found = {}
    for name in explainers:
        values = []
        for sample in samples:
            target = trained.answer(sample).text
            first, second = (explain(name, vlm, sample, target=target).scores for vlm in (trained, other))
            if np.ptp(first) > 0 and np.ptp(second) > 0:
                values.append(float(spearmanr(first, second).statistic))
        found[name] = float(np.mean(values)) if values else float("nan")
    return pd.Series(found, name="rank correlation")


def untrained(vlm: Any, *, seed: int = 20) -> Any:
    """A loaded model's twin with the same architecture and fresh random weights.

    Args:
        vlm: A model loaded by the toolkit.
        seed: Seed of the weights.
    """
    import torch

    from toolkit.vlm.model import LoadedVLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = type(vlm.model)(vlm.model.config).eval()
    return LoadedVLM(f"{vlm.name}, random weights", vlm.adapter, model.to(vlm.model.dtype))
