"""The four corner coalitions of the two-player game {image, text}, for every choice of many samples at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from toolkit.baselines import BASELINES
from toolkit.datasets.sample import Sample
from toolkit.vlm.request import Block, Request

if TYPE_CHECKING:
    from toolkit.vlm.model import LoadedVLM

CORNERS: tuple[str, ...] = ("both", "image", "text", "empty")
"""Which modalities are present: all, the picture alone, the question alone, neither."""

CornerAnswers = dict[str, dict[str, float]]
"""Corner -> choice -> probability."""


def choice_corners(vlm: LoadedVLM, samples: Sequence[Sample], *, baseline: str = "blur") -> list[CornerAnswers]:
    """Probability of every choice under every corner coalition.

    Two pictures and four decoder blocks per sample, whatever the number of one-token choices.

    Args:
        vlm: The model.
        samples: Samples with choices.
        baseline: What stands for the removed picture.

    Returns:
        One mapping corner -> choice -> probability per sample.

    Raises:
        ValueError: A sample without choices.
        UnknownNameError: No such baseline.
    """
    BASELINES.check(baseline)
    vlm.answers(samples)
    requests, orders = [], []
    for sample in samples:
        request, order = _request(vlm, sample, baseline)
        requests.append(request)
        orders.append(order)
    logs = vlm.engine.log_probabilities(requests)
    found: list[CornerAnswers] = []
    for order, values in zip(orders, logs, strict=True):
        corners: CornerAnswers = {corner: {} for corner in CORNERS}
        for (corner, word), value in zip(order, values, strict=True):
            corners[corner][word] = float(np.exp(value))
        found.append(corners)
    return found


def _request(vlm: LoadedVLM, sample: Sample, baseline: str) -> tuple[Request, list[tuple[str, str]]]:
    view = vlm.view(sample)
    by_context: dict[tuple[int, ...], list[tuple[str, int]]] = {}
    for word, tokens in vlm.choice_tokens(sample).items():
        by_context.setdefault(tokens[:-1], []).append((word, tokens[-1]))
    masks = np.stack([np.ones(view.players.n_image, dtype=np.bool_), np.zeros(view.players.n_image, dtype=np.bool_)])
    blocks, order = [], []
    for corner in CORNERS:
        image = 0 if corner in ("both", "image") else 1
        kept = np.full(view.players.n_text, corner in ("both", "text"))
        for context, words in by_context.items():
            blocks.append(Block(image, kept, context, tuple(token for _, token in words)))
            order += [(corner, word) for word, _ in words]
    return Request(view, baseline, masks, blocks), order
