"""The four corner coalitions of the two-player game {image, text}, for every choice of many samples at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.sample import Sample
from toolkit.vlm.answers import AnswerRule, Form, check_rule, queries_of
from toolkit.vlm.engine.request import Query, Request

if TYPE_CHECKING:
    from toolkit.vlm.model import LoadedVLM

CORNERS: tuple[str, ...] = ("both", "image", "text", "empty")
"""Which modalities are present: all, the picture alone, the question alone, neither."""

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
    BASELINES.check(baseline)
    check_rule(rule)
    vlm.answers(samples)
    requests, orders = [], []
    for sample in samples:
        request, order = _request(vlm, sample, baseline, rule)
        requests.append(request)
        orders.append(order)
    logs = vlm.engine.log_probabilities(requests)
    found: list[CornerAnswers] = []
    for sample, order, values in zip(samples, orders, logs, strict=True):
        corners: CornerAnswers = {corner: dict.fromkeys(sample.choices or (), 0.0) for corner in CORNERS}
        for (corner, word), value in zip(order, values, strict=True):
            corners[corner][word] += float(np.exp(value))
        found.append(corners)
    return found


def _request(vlm: LoadedVLM, sample: Sample, baseline: str, rule: AnswerRule) -> tuple[Request, list[tuple[str, str]]]:
    view = vlm.view(sample)
    owner: dict[Form, str] = {form: word for word, forms in vlm.choice_forms(sample, rule).items() for form in forms}
    masks = np.stack([np.ones(view.players.n_image, dtype=np.bool_), np.zeros(view.players.n_image, dtype=np.bool_)])
    queries: list[Query] = []
    order: list[tuple[str, str]] = []
    for corner in CORNERS:
        kept = np.full(view.players.n_text, corner in ("both", "text"))
        some, forms = queries_of(list(owner), 0 if corner in ("both", "image") else 1, kept)
        queries += some
        order += [(corner, owner[form]) for form in forms]
    return Request(view, baseline, masks, queries), order
