"""Attention of both towers, one layer at a time: what each module attended to, and how the answer depends on it.

The forward pass runs with the model's own attention. Only queries, keys, values and outputs are kept; the weights
(heads x tokens x tokens) of a layer are computed when that layer is looked at and dropped before the next one. Their
gradient needs no stored weights either: with O = A V, dL/dA = dL/dO V^T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toolkit.explainers.internals.anatomy import Merge, anatomy
from toolkit.explainers.internals.gradients import check_attention, leaf
from toolkit.explainers.internals.scope import attention_scope, attention_weights, is_attention, repeat_heads
from toolkit.vlm.protocol import WhiteBox


@dataclass(frozen=True)
class Call:
    """One call of one attention module; a layer with windows makes several.

    Attributes:
        module: The attention module.
        query: Shape (batch, heads, tokens, dim), positions applied.
        key: Shape (batch, kv_heads, tokens, dim).
        value: Shape (batch, kv_heads, tokens, dim).
        mask: Additive or bool mask, or None.
        scaling: Factor on query x key.
        gradient: d logit / d output, (batch, tokens, heads, dim), or None where it was not asked for.
    """

    module: nn.Module
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scaling: float
    gradient: Tensor | None = None

    def weights(self) -> Tensor:
        """Attention weights (batch, heads, tokens, tokens); rows sum to one.

        Raises:
            MemoryError: They do not fit.
        """
        check_attention(self.query, copies=3 if self.gradient is None else 5)
        return attention_weights(self.module, self.query, self.key, self.mask, self.scaling)

    def weights_gradient(self) -> Tensor:
        """Gradient of the logit with respect to the weights, (batch, heads, tokens, tokens).

        Raises:
            ValueError: The trace was made without gradients.
        """
        if self.gradient is None:
            raise ValueError("this trace was made without gradients; call trace(box, gradient=True)")
        value = repeat_heads(self.value, self.query.shape[1])
        return torch.matmul(self.gradient.transpose(1, 2), value.transpose(-1, -2))


@dataclass(frozen=True)
class Trace:
    """Attention of one forward pass: per layer, first to last, the calls in token order."""

    decoder: tuple[tuple[Call, ...], ...]
    vision: tuple[tuple[Call, ...], ...]


def trace(box: WhiteBox, *, gradient: bool) -> Trace:
    """Run ``box.logit`` once and keep what its attention modules saw.

    Args:
        box: The explained game's inside.
        gradient: Also keep d logit / d output of every call, by one backward pass.
    """
    parts = anatomy(box.model)
    seen: dict[nn.Module, list[tuple[Call, Tensor]]] = {}

    def keep(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, call: object
    ) -> Tensor:
        check_attention(query, copies=5 if gradient else 3, model=box.model)  # before the rest of the pass
        output: Tensor = call()  # type: ignore[operator]
        detached = Call(module, query.detach(), key.detach(), value.detach(), mask, scaling)
        seen.setdefault(module, []).append((detached, output))
        return output

    with torch.set_grad_enabled(gradient), attention_scope(box.model, keep):
        logit = box.logit(leaf(box.pixels), leaf(box.question)).sum()
    calls = [pair for pairs in seen.values() for pair in pairs]
    gradients: Sequence[Tensor | None] = [None] * len(calls)
    if gradient:
        gradients = torch.autograd.grad(logit, [output for _, output in calls], allow_unused=True)
    by_module: dict[nn.Module, list[Call]] = {}
    for (call, output), slope in zip(calls, gradients, strict=True):
        kept = torch.zeros_like(output) if gradient and slope is None else slope
        complete = Call(call.module, call.query, call.key, call.value, call.mask, call.scaling, kept)
        by_module.setdefault(call.module, []).append(complete)

    def layer(block: nn.Module) -> tuple[Call, ...]:
        return tuple(c for module in block.modules() if is_attention(module) for c in by_module.get(module, []))

    return Trace(tuple(map(layer, parts.decoder_layers)), tuple(map(layer, parts.vision_layers)))


def relevant(weights: Tensor, gradient: Tensor) -> Tensor:
    """relu(dL/dA * A): the weights that speak for the answer."""
    return (weights * gradient).clamp(min=0)


def residual(mixed: Tensor) -> Tensor:
    """The identity (tokens, tokens), which is how the residual stream mixes."""
    return torch.eye(mixed.shape[-1], dtype=mixed.dtype, device=mixed.device)


def mixing(call: Call, *, by_gradient: bool, normalised: bool = True) -> Tensor:
    """How a layer mixes its tokens, (batch, tokens, tokens), float64, rows sum to one.

    The mean over heads of A, or of relu(dL/dA * A) with rows scaled to one, plus the identity for the residual stream,
    row-normalised. Without that scaling the share that leaves a token would grow with the size of the gradient, and a
    token that matters would lose more of its mass than one that does not. A row without gradient is left to the
    identity. Not ``normalised``, it is relu(dL/dA * A) plus the identity, as arXiv 2103.15679 has it; rows then sum to
    one or more.
    """
    weights = call.weights()
    if by_gradient:
        weights = relevant(weights, call.weights_gradient())
    mixed = weights.mean(1, dtype=torch.float64)
    if not normalised:
        return mixed + residual(mixed)
    if by_gradient:
        mixed = mixed / mixed.sum(-1, keepdim=True).clamp(min=torch.finfo(mixed.dtype).tiny)
    mixed = mixed + residual(mixed)
    return mixed / mixed.sum(-1, keepdim=True)


def roll(rows: Tensor, layers: Sequence[Sequence[Call]], *, by_gradient: bool, normalised: bool = True) -> Tensor:
    """Follow rows (k, n_tokens) from the last layer down to the tokens that enter the first one.

    Windows and tiles are blocks of the layer's matrix, so each call mixes only its own slice of the row.
    """
    for calls in reversed(layers):
        pieces, start = [], 0
        for call in calls:
            batch, _, n, _ = call.query.shape
            piece = rows[:, start : start + batch * n].reshape(len(rows), batch, n)
            mixed = mixing(call, by_gradient=by_gradient, normalised=normalised)
            pieces.append(torch.einsum("kbi,bij->kbj", piece, mixed).flatten(1))
            start += batch * n
        if start != rows.shape[1]:
            raise ValueError(f"a layer mixes {start} tokens, but the row has {rows.shape[1]}")
        rows = torch.cat(pieces, dim=1)
    return rows


@dataclass(frozen=True)
class Rolled:
    """A rollout from the predicting position down to the inputs; all non-negative.

    Attributes:
        decoder: Shape (length,): mass at each token that enters the decoder; sums to one where rows are normalised.
        vision: Shape (n_tokens,): the image players' mass at each token that enters the vision tower.
        image: Shape (n_image,): mass at each image player's own patches.
        text: Shape (n_text,): mass at each text player.
    """

    decoder: Tensor
    vision: Tensor
    image: Tensor
    text: Tensor


def rollout(box: WhiteBox, traced: Trace, merge: Merge, *, by_gradient: bool, normalised: bool = True) -> Rolled:
    """Roll the predicting position's row through the decoder, then the image players' mass through the vision tower."""
    length = sum(call.query.shape[2] for call in traced.decoder[0])
    start = torch.zeros(1, length, dtype=torch.float64, device=box.pixels.device)
    start[0, length - len(box.target_ids)] = 1  # the position that predicts the first target token
    decoder = roll(start, traced.decoder, by_gradient=by_gradient, normalised=normalised)
    entering = decoder[:, box.image_positions] @ merge.shares
    vision = roll(entering, traced.vision[: merge.used_layers], by_gradient=by_gradient, normalised=normalised)
    image = vision @ merge.members.double().T
    return Rolled(decoder[0], vision[0], image[0], decoder[0, box.text_positions])
