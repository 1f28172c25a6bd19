"""Attention of all layers with its sinks, and without: does a map show the answer, or where attention is parked?

    score_i = mean over decoder layers and heads of A[predicting position, position of player i]

A sink is a token that everybody attends to, whatever is asked: r_i, the mean over queries, layers and heads of its
weight times the number of keys that the query sees, is 1 where attention is even, and above ``factor`` at a sink. In
``attention-no-sinks`` players that are sinks score 0. Scores are non-negative by construction.

Reference: control; sinks: Xiao et al., 2023, arXiv 2309.17453; in VLMs: Kang et al., 2025, arXiv 2503.03321.
Left out: the latter finds sinks by their activations in chosen dimensions, which differ between models; here they are
read off the attention itself.
Cost: one forward pass; memory of one layer's weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.attention import Call, trace
from toolkit.games.attribution import Attribution
from toolkit.games.target import Sentence
from toolkit.vlm.protocol import VLM


def received(weights: Tensor) -> Tensor:
    """How much more than evenly each token is attended to, r (keys,), from weights (heads, queries, keys).

    One head at a time, so that nothing of the weights' size is held beside them.
    """
    total = torch.zeros(weights.shape[-1], dtype=torch.float64, device=weights.device)
    visible = torch.zeros(weights.shape[1:], dtype=torch.bool, device=weights.device)
    for head in weights:
        is_seen = head > 0
        total += (head.double() * is_seen.sum(dim=-1, keepdim=True)).sum(0)
        visible |= is_seen
    return total / len(weights) / visible.sum(0).clamp(min=1)


def _of_layer(call: Call, predicting: int) -> tuple[Tensor, Tensor]:
    weights = call.weights()[0]
    return weights[:, predicting].double().mean(0), received(weights)


@dataclass(frozen=True)
class AttentionSinks:
    """Head- and layer-mean attention of the decoder, sinks included.

    Attributes:
        factor: A token that is attended to more than so many times evenly is a sink.
    """

    factor: float = 5.0

    name: ClassVar[str] = "attention-sinks"
    keeps_sinks: ClassVar[bool] = True
    reference: ClassVar[str] = "control; Xiao et al. 2023, arXiv 2309.17453"
    cost: ClassVar[str] = "1 forward, one layer's attention weights"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    passes: ClassVar[Passes] = Passes(1)
    deterministic: ClassVar[bool] = True

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Read attention; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline, refused=(Sentence,))
        layers = [
            _of_layer(call, -len(box.target_ids)) for calls in trace(box, gradient=False).decoder for call in calls
        ]
        row, share = (torch.stack(parts).mean(0) for parts in zip(*layers, strict=True))
        where = torch.cat([box.image_positions, box.text_positions])
        is_sink = share[where] > self.factor
        scores = row[where] if self.keeps_sinks else row[where].masked_fill(is_sink, 0.0)
        details: dict[str, float | int | str | list[float]] = {
            "sinks": int(is_sink.sum()), "mass_of_sinks": float(row[where][is_sink].sum()),
        }  # fmt: skip
        return Attribution(scores.cpu().numpy(), box.players, self.name, target, n_evaluations=1, details=details)


@dataclass(frozen=True)
class AttentionNoSinks(AttentionSinks):
    """The same without the players that are sinks."""

    name: ClassVar[str] = "attention-no-sinks"
    keeps_sinks: ClassVar[bool] = False
