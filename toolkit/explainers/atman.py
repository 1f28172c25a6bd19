"""Attention suppression: how much less probable the answer gets when nobody may attend to a player.

    score_i = log P(target) - log P(target | weights of every attention to player i times 1 - suppression)

in all layers and heads of the decoder, before the weights are normalised again.

Reference: AtMan, Deiseroth et al., 2023, arXiv 2301.08110.
Like AtMan, not AtMan: it multiplies the scores before the softmax, which raises a negative one; here the weights behind
it are multiplied. AtMan also suppresses tokens with a similar embedding together; here each player is alone. With
``suppression = 1`` a word is removed exactly as the game removes it, so its score is the log of what occlusion finds.
An image token that is suppressed has been mixed with its neighbours in the vision tower before.
Cost: n_players + 1 forward rows through the whole model, of every token of the image; no gradients; the attention
weights of one layer for each row of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.gradients import check_attention
from toolkit.explainers.internals.scope import attention_scope, is_attention, masked_softmax, repeat_heads
from toolkit.games.attribution import Attribution
from toolkit.vlm.memory import Backoff
from toolkit.vlm.protocol import VLM, WhiteBox

_HIDDEN = -1e4
"""What is added to a score whose weight is to be 0; finite in half precision."""


def suppressed(scores: Tensor, columns: Tensor, bias: float) -> Tensor:
    """Scores (B, heads, queries, keys) with ``bias`` added to key ``columns[b]`` of row b; to none where it is < 0."""
    added = torch.zeros(len(columns), scores.shape[-1], dtype=scores.dtype, device=scores.device)
    rows = torch.arange(len(columns), device=scores.device)
    added[rows, columns.clamp(min=0)] = bias * (columns >= 0).to(scores.dtype)
    return scores + added[:, None, None]


@dataclass(frozen=True)
class AtMan:
    """Suppress the attention to one player at a time.

    Attributes:
        suppression: By how much, in (0, 1]; AtMan's value.
        batch: Players per forward pass; fewer where their attention weights do not fit.
    """

    suppression: float = 0.9
    batch: int = 8

    name: ClassVar[str] = "atman"
    reference: ClassVar[str] = "Deiseroth et al. 2023, arXiv 2301.08110"
    cost: ClassVar[str] = "1 forward row per token and 1 more"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.suppression <= 1 or self.batch < 1:
            raise ValueError(
                f"atman: expected 0 < suppression <= 1 and batch >= 1, got {self.suppression} and {self.batch}"
            )

    def passes(self, n: int) -> Passes:
        """Everybody, and everybody with one suppressed."""
        return Passes(n + 1)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain log P(target); deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline)
        positions = torch.cat([torch.tensor([-1]).to(box.text_positions), box.image_positions, box.text_positions])
        size = Backoff(self.batch, box.pixels.device)
        parts: list[Tensor] = []

        def following(n: int) -> Tensor:
            done = sum(map(len, parts))
            return self._log_probabilities(box, positions[done : done + n])

        with torch.no_grad():
            while sum(map(len, parts)) < len(positions):
                parts.append(size.run(following))
        logs = torch.cat(parts)
        scores = (logs[0] - logs[1:]).double().cpu().numpy()
        return Attribution(scores, box.players, self.name, target, n_evaluations=len(positions))

    def _log_probabilities(self, box: WhiteBox, columns: Tensor) -> Tensor:
        """Log P(target), shape (B,), each row with one position suppressed, or none where it is -1."""
        bias = _HIDDEN if self.suppression == 1 else math.log(1 - self.suppression)
        ours = {m for layer in anatomy(box.model).decoder_layers for m in layer.modules() if is_attention(m)}

        def attend(
            module: nn.Module,
            query: Tensor,
            key: Tensor,
            value: Tensor,
            mask: Tensor | None,
            scaling: float,
            call: object,
        ) -> Tensor:
            if module not in ours:
                return call()  # type: ignore[operator,no-any-return]
            check_attention(query, copies=4, model=box.model)
            heads = query.shape[1]
            scores = torch.matmul(query, repeat_heads(key, heads).transpose(-1, -2)) * scaling
            weights = masked_softmax(module, suppressed(scores, columns, bias), mask)
            return torch.matmul(weights, repeat_heads(value, heads)).transpose(1, 2).contiguous()

        n = len(columns)
        with attention_scope(box.model, attend):
            pixels = box.pixels.expand(n, *box.pixels.shape[1:])
            return box.score(pixels, box.question.expand(n, *box.question.shape[1:]))
