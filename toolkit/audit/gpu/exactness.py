"""How far the engine's values are from the plain path's."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_values


def difference_row(vlm: LoadedVLM, sample: Sample, n: int, *, target: str | None = None) -> dict[str, Any]:
    """Distribution of |engine - plain| over random coalitions of one sample, the picture whole in some of them.

    Args:
        vlm: The model.
        sample: The sample.
        n: Number of coalitions.
        target: The scored answer; None takes the model's own.
    """
    game = vlm.game(sample, target=target)
    rng = np.random.default_rng(0)
    chosen = rng.random((n, game.players.n)) < rng.random((n, 1))
    chosen[0], chosen[1:4, : game.players.n_image] = True, chosen[4 % n, : game.players.n_image]
    fast, plain = game(chosen), plain_values(game, chosen)
    difference = np.abs(fast - plain)
    return {
        "model": vlm.name, "dtype": str(vlm.model.dtype).removeprefix("torch."), "coalitions": n,
        "median": float(np.median(difference)), "p90": float(np.quantile(difference, 0.9)),
        "max": float(difference.max()), "max_log": float(np.abs(np.log(fast) - np.log(plain)).max()),
    }  # fmt: skip


def both_precisions(vlm: LoadedVLM, sample: Sample, n: int) -> list[dict[str, Any]]:
    """The differences in the model's own precision, and those of a copy in bfloat16, for the same answer."""
    target = vlm.answer(sample).text
    model: Any = copy.deepcopy(vlm.model)
    half = LoadedVLM(vlm.name, vlm.adapter, model.bfloat16())
    return [difference_row(one, sample, n, target=target) for one in (vlm, half)]
