"""Which tokens each decoder layer may attend to: everything that the sequence allows, or the last few tokens of it.

transformers cuts a window by a token's *index* in the sequence, removed words counted, whatever its position: i sees j
iff i - window < j <= i. The engine leaves removed words out and packs question variants side by side, so a token's
column says nothing about its index there, and whoever builds a mask hands the index over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

FULL, SLIDING = "full_attention", "sliding_attention"

_CAUSAL = ("LlamaModel",)
"""Decoders all of whose layers see everything, whatever a window in their configuration says."""

_ALIKE = ("MistralModel", "Phi3Model")
"""Decoders that give all layers one mask, with a window where the configuration has one."""

_BY_LAYER = ("Qwen2Model", "Qwen3Model", "Qwen2VLTextModel", "Qwen2_5_VLTextModel", "Gemma2Model", "Gemma3TextModel")
"""Decoders that take a mask for each of their layer types, which the configuration lists."""

_UNREAD = {
    "layer_types": "layer types",
    "sliding_window": "a sliding window",
    "attention_chunk_size": "chunked attention",
    "attn_logit_softcapping": "capped attention scores",
    "final_logit_softcapping": "capped logits",
}
"""Settings that change what a decoder computes, and are refused in a decoder that is not listed above."""


class UnknownAttentionError(ValueError):
    """A decoder whose rule of what attends to what is not known here."""


def layer_windows(model: PreTrainedModel) -> tuple[int | None, ...]:
    """For each decoder layer the number of tokens that it sees, itself included; None sees all.

    As the decoder's class in transformers reads its configuration: Llama ignores windows, Mistral has one for all
    layers, Qwen and Gemma have one for the layers that ``layer_types`` names.

    Raises:
        UnknownAttentionError: Another layer type, or a decoder that is not listed here with any setting of this kind.
    """
    stack = cast(Any, model).get_decoder()
    kind, config = type(stack).__name__, stack.config
    n_layers, window = int(config.num_hidden_layers), getattr(config, "sliding_window", None)
    types = tuple(getattr(config, "layer_types", None) or ())
    for setting, value in (("is_causal", False), ("use_bidirectional_attention", True)):
        if getattr(config, setting, None) is value:
            raise UnknownAttentionError(
                f"{kind} of {type(model).__name__} attends both ways ({setting} is {str(value).lower()} in its "
                "configuration); only causal decoders are scored here"
            )
    if kind in _CAUSAL:
        return (None,) * n_layers
    if kind in _ALIKE:
        return (None if window is None else _checked(window, kind),) * n_layers
    if kind in _BY_LAYER:
        unknown = sorted(set(types) - {FULL, SLIDING})
        if unknown or len(types) < n_layers:
            named = f"layers of type {', '.join(map(repr, unknown))}" if unknown else f"{len(types)} layer types"
            raise UnknownAttentionError(
                f"{kind} of {type(model).__name__} has {named} in its configuration, where each of {n_layers} layers "
                f"must be {FULL!r} or {SLIDING!r} to be scored here; use another checkpoint of this family"
            )
        return tuple(_checked(window, kind) if name == SLIDING else None for name in types[:n_layers])
    found = [named for setting, named in _UNREAD.items() if _is_set(getattr(config, setting, None))]
    if hasattr(stack, "layers") and any(name.endswith("sinks") for name, _ in stack.named_parameters()):
        found.append("attention sinks")
    if found:
        raise UnknownAttentionError(
            f"{kind} of {type(model).__name__} has {' and '.join(found)}, and how its layers use that is not known "
            f"here; windows are known for {', '.join((*_ALIKE, *_BY_LAYER))}"
        )
    return (None,) * n_layers


def _is_set(value: Any) -> bool:
    return any(name != FULL for name in value) if isinstance(value, list | tuple) else value is not None


def _checked(window: Any, kind: str) -> int:
    if not isinstance(window, int) or window < 1:
        raise UnknownAttentionError(
            f"the sliding window of {kind} is {window!r} in its configuration; expected a whole number of at least 1"
        )
    return window


def attention_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention scores, shape (batch, 1, length, length): 0 where the mask allows, else the least."""
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill_(~mask, torch.finfo(dtype).min)[:, None]


def layer_biases(
    model: PreTrainedModel, mask: Tensor, dtype: torch.dtype, index: Tensor | None, seen: Tensor | None = None
) -> list[Tensor]:
    """What is added to the attention scores of each layer; layers with one window share one tensor.

    Args:
        model: A model of any family.
        mask: Bool (batch, length, length): row may attend to column in a layer without a window.
        dtype: Of the embeddings.
        index: Shape (length,) or (batch, length): each token's index in the sequence that transformers would be given.
            None where nothing is packed or left out, or for a decoder without windows.
        seen: Bool like ``mask``: what row may attend to besides, behind it too; a window cuts this as well.

    Returns:
        For each layer (batch, 1, length, length).

    Raises:
        ValueError: The decoder has windows, and no index is given.
    """
    windows = layer_windows(model)
    mask = mask if seen is None else mask | seen
    made: dict[int | None, Tensor] = {}
    for window in dict.fromkeys(windows):
        made[window] = attention_bias(mask if window is None else mask & _is_near(window, index), dtype)
    return [made[window] for window in windows]


def _is_near(window: int, index: Tensor | None) -> Tensor:
    """Which column lies within the window that ends at a row, shape (length, length) or (batch, length, length)."""
    if index is None:
        raise ValueError("the decoder has a sliding window: give index, each token's place in the whole sequence")
    return index[..., :, None] - index[..., None, :] < window


def mask_argument(model: PreTrainedModel, biases: list[Tensor]) -> Tensor | Mapping[str, Tensor]:
    """The ``attention_mask`` with which transformers' decoder gives each layer its own of ``biases``."""
    stack = cast(Any, model).get_decoder()
    if type(stack).__name__ not in _BY_LAYER:
        return biases[0]
    return dict(zip(stack.config.layer_types, biases, strict=False))
