"""Probabilities of every choice of many samples at once, at the four corners or at any coalitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.sample import CORNERS, Sample
from toolkit.games.game import corner_coalitions
from toolkit.typing import Coalitions
from toolkit.vlm.answers import AnswerRule, Form, check_rule, queries_of
from toolkit.vlm.engine.request import Query, Request

if TYPE_CHECKING:
    from toolkit.vlm.model import LoadedVLM

CornerAnswers = dict[str, dict[str, float]]
"""Corner -> choice -> probability."""


def choice_corners(
    vlm: LoadedVLM, samples: Sequence[Sample], *, baseline: str = "blur", rule: AnswerRule = "best"
) -> list[CornerAnswers]:
    """Probability of every choice under every corner coalition.

    Two pictures and four decoder queries per sample, whatever the number of one-token choices.

    Args:
        vlm: The model.
        samples: Samples with choices.
        baseline: What stands for the removed picture.
        rule: How the ways of writing a choice make its probability, see ``toolkit.vlm.answers``.

    Returns:
        One mapping corner -> choice -> probability per sample.

    Raises:
        ValueError: A sample without choices.
        UnknownNameError: No such baseline or rule.
    """
    asked = [corner_coalitions(vlm.view(sample).players) for sample in samples]
    found = choice_values(vlm, samples, asked, baseline=baseline, rule=rule)
    return [dict(zip(CORNERS, values, strict=True)) for values in found]


def choice_values(
    vlm: LoadedVLM,
    samples: Sequence[Sample],
    coalitions: Sequence[Coalitions],
    *,
    baseline: str = "blur",
    rule: AnswerRule = "best",
) -> list[list[dict[str, float]]]:
    """Probability of every choice under any coalitions of tokens, batched over samples.

    Args:
        vlm: The model.
        samples: Samples with choices.
        coalitions: For each sample, an array (n_coalitions, n_players) of image and question tokens.
        baseline: What stands for removed cells.
        rule: As for :func:`choice_corners`.

    Returns:
        For each sample and coalition, choice -> probability.

    Raises:
        ValueError: A sample without choices.
        UnknownNameError: No such baseline or rule.
    """
    BASELINES.check(baseline)
    check_rule(rule)
    vlm.answers(samples)
    requests, orders = zip(
        *(_request(vlm, s, asked, baseline, rule) for s, asked in zip(samples, coalitions, strict=True)), strict=True
    )
    found: list[list[dict[str, float]]] = []
    logs = vlm.engine.log_probabilities(requests)
    for sample, asked, order, values in zip(samples, coalitions, orders, logs, strict=True):
        answers = [dict.fromkeys(sample.choices or (), 0.0) for _ in asked]
        for (index, word), value in zip(order, values, strict=True):
            answers[index][word] += float(np.exp(value))
        found.append(answers)
    return found


def _request(
    vlm: LoadedVLM, sample: Sample, asked: Coalitions, baseline: str, rule: AnswerRule
) -> tuple[Request, list[tuple[int, str]]]:
    view = vlm.view(sample)
    owner: dict[Form, str] = {form: word for word, forms in vlm.choice_forms(sample, rule).items() for form in forms}
    n_image = view.players.n_image
    masks, image = np.unique(asked[:, :n_image], axis=0, return_inverse=True)
    queries: list[Query] = []
    order: list[tuple[int, str]] = []
    for index, number in enumerate(image.reshape(-1)):
        some, forms = queries_of(list(owner), int(number), asked[index, n_image:])
        queries += some
        order += [(index, owner[form]) for form in forms]
    return Request(view, baseline, masks, queries), order
