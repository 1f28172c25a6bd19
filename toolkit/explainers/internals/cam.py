"""Class activation maps of one decoder layer, for both modalities at once."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from toolkit.explainers.internals.anatomy import anatomy, first_tensor
from toolkit.explainers.internals.gradients import leaf
from toolkit.explainers.internals.scope import hooks
from toolkit.vlm.protocol import WhiteBox


def layer_index(n_layers: int, depth: float) -> int:
    """The layer at a fraction of depth: round(depth * (n_layers - 1)).

    Raises:
        ValueError: ``depth`` lies outside [0, 1].
    """
    if not 0 <= depth <= 1:
        raise ValueError(f"depth is a fraction of the decoder in [0, 1], got {depth}")
    return round(depth * (n_layers - 1))


def channel_weights(gradient: Tensor) -> Tensor:
    """Mean gradient (..., dim) of each channel over the players, signed, of (..., n_players, dim)."""
    return gradient.double().mean(-2)


def activation_map(box: WhiteBox, pixels: Tensor, depth: float) -> Tensor:
    """Grad-CAM of the post-attention norm at a fraction of the decoder's depth, (B, n_players), signed.

    Of each row of pixels (B, *pixel_shape): with A (n_players, dim) the norm's output at the players' positions and G
    its gradient, alpha = mean of G over the players and the map is A @ alpha. The gradient's graph begins at A, so
    nothing before it is kept.
    """
    layers = anatomy(box.model).decoder_layers
    layer = layers[layer_index(len(layers), depth)]
    outputs: list[Tensor] = []

    def begin(_: nn.Module, __: object, output: object) -> Tensor:
        outputs.append(leaf(first_tensor(output)))
        return outputs[-1]

    with torch.enable_grad(), hooks([]) as handles:
        norm = cast(nn.Module, layer.post_attention_layernorm)
        handles.append(norm.register_forward_hook(begin))
        logit = box.logit(pixels.detach(), box.question.detach().expand(len(pixels), -1, -1))
        (activation,) = outputs
        (gradient,) = torch.autograd.grad(logit.sum(), activation)
    where = torch.cat([box.image_positions, box.text_positions])
    weights = channel_weights(gradient[:, where])
    return torch.einsum("bpd,bd->bp", activation.detach()[:, where].double(), weights)
