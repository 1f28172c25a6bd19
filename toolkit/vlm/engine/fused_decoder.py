"""The decoder stack layer by layer, with its last layer only where an answer is read.

The decoders of most families are one stack: RMS norm, grouped-query attention with rotary positions, RMS norm,
gated MLP. Scoring reads one hidden state in twenty, so the last layer needs keys and values of every token but
queries, projection and MLP of the read ones alone. A decoder of another kind, or with a hook anywhere in it, runs as
transformers runs it.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import rms_norm
from transformers import PreTrainedModel

from toolkit.vlm.engine import decoder
from toolkit.vlm.engine.fingerprint import is_altered
from toolkit.vlm.engine.masks import layer_biases, layer_windows
from toolkit.vlm.engine.patches import is_known_class
from toolkit.vlm.engine.products import padded, project
from toolkit.vlm.engine.rotary import RotaryTable

_LAYERS = (
    "LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen2_5_VLDecoderLayer", "Qwen3DecoderLayer",
    "Qwen3VLTextDecoderLayer",
)  # fmt: skip
_PARTS = ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")


def is_known(model: PreTrainedModel) -> bool:
    """Whether the model's decoder is such a stack, with nothing attached to it and nobody else's code in it.

    Which layers run where there are more or fewer than the configuration says differs by class.
    """
    stack = _text_model(model)
    return (
        not is_altered(stack)
        and len(stack.layers) == stack.config.num_hidden_layers
        and all(
            type(layer).__name__ in _LAYERS
            and layer.self_attn.config._attn_implementation == "sdpa"
            and all(is_known_class(type(part)) for part in (layer, *(getattr(layer, name) for name in _PARTS)))
            for layer in stack.layers
        )
    )


def read_states(
    model: PreTrainedModel,
    embeddings: Tensor,
    mask: Tensor,
    position_ids: Tensor,
    read: tuple[Tensor, Tensor],
    index: Tensor | None = None,
    slots: decoder.ImageSlots | None = None,
    prefix: int = 0,
) -> Tensor:
    """Last hidden states of some tokens, as :func:`toolkit.vlm.engine.decoder.decode` gives for all.

    Args:
        model: A model of any family.
        embeddings: Shape (batch, length, dim).
        mask: Bool (batch, length, length), as ``decode`` takes.
        position_ids: Shape (batch, length), or (3, batch, length).
        read: Rows (batch, 1) and columns (batch, n_read) of the tokens, none of them an image token.
        index: Each token's index in the whole sequence, as ``decode`` takes.
        slots: The image tokens, as ``decode`` takes.
        prefix: So many columns of every row are a prefix without padding: each sees all before it, and no mask is
            needed for them, which saves half of their attention.

    Returns:
        Shape (batch, n_read, dim), after the final norm.
    """
    if not is_known(model):
        return decoder.decode(model, embeddings, mask, position_ids, index, slots)[read]
    stack = _text_model(model)
    seen = None if slots is None else slots.seen(embeddings)
    if seen is not None or any(layer_windows(model)):
        prefix = 0
    biases = layer_biases(model, mask[:, prefix:], embeddings.dtype, index, seen)
    cosine, sine = (_mixed(table, stack.config) for table in stack.rotary_emb(embeddings, position_ids))
    turn = RotaryTable.of_heads(cosine, sine, stack.config.num_attention_heads)
    batch, length, _ = embeddings.shape
    hidden = padded(embeddings.flatten(0, 1))
    added = () if slots is None else slots.added
    for layer, bias, more in zip_longest(stack.layers[:-1], biases[:-1], added[: len(biases) - 1]):
        hidden = _layer(layer, hidden, hidden, turn, turn, bias, prefix)
        if slots is not None and more is not None:
            hidden.index_add_(0, slots.where[0] * length + slots.where[1], more)
    rows, columns = read
    asking = padded(hidden[: batch * length].view(embeddings.shape)[read].flatten(0, 1))
    bias = biases[-1][:, 0][rows, (columns - prefix).clamp(min=0)][:, None]  # no prefix is read; what pads a row may be
    hidden = _layer(stack.layers[-1], hidden, asking, turn, turn.at(read), bias, 0)
    return _norm(stack.norm, hidden[: columns.numel()]).view(*columns.shape, -1)


def _mixed(table: Tensor, config: Any) -> Tensor:
    """Rotary table (batch, length, head_dim) of one whose three axes (3, batch, ...) transformers mixes since 5.17."""
    if table.dim() == 3:
        return table
    sections = 2 * list(config.rope_parameters["mrope_section"])
    return torch.cat([part[i % 3] for i, part in enumerate(torch.split(table, sections, dim=-1))], dim=-1)


def _text_model(model: PreTrainedModel) -> Any:
    return cast(Any, model).get_decoder()


def _layer(
    layer: Any, context: Tensor, hidden: Tensor, turn: RotaryTable, turn_hidden: RotaryTable, bias: Tensor, prefix: int
) -> Tensor:
    """One layer's output at the tokens of ``hidden``, whose queries attend to ``context``; the prefix needs no bias.

    Both have a row per token of the batch, and may have more behind them, which are carried along and mean nothing.
    What a module has just made is overwritten: on a CPU a fresh buffer costs more than the arithmetic.
    """
    attention, mlp = layer.self_attn, layer.mlp
    normed = _norm(layer.input_layernorm, context)
    asking = normed if hidden is context else _norm(layer.input_layernorm, hidden)
    query = _turned(project(attention.q_proj, asking), turn_hidden, attention, "q_norm")
    key = _turned(project(attention.k_proj, normed), turn, attention, "k_norm")
    value = _heads(project(attention.v_proj, normed), turn, attention)
    given: dict[str, Any] = {"scale": attention.scaling, "enable_gqa": query.shape[1] != key.shape[1]}
    attended = functional.scaled_dot_product_attention(query[:, :, prefix:], key, value, bias, **given).transpose(1, 2)
    if prefix:
        first, before, shown = query[:, :, :prefix], key[:, :, :prefix], value[:, :, :prefix]
        causal = functional.scaled_dot_product_attention(first, before, shown, is_causal=True, **given)
        attended = torch.cat([causal.transpose(1, 2), attended], dim=1)
    hidden = project(attention.o_proj, padded(attended.flatten(2).flatten(0, 1))).add_(hidden)
    normed = _norm(layer.post_attention_layernorm, hidden)
    gated = mlp.act_fn(project(mlp.gate_proj, normed)).mul_(project(mlp.up_proj, normed))
    return project(mlp.down_proj, gated).add_(hidden)


def _norm(norm: Any, x: Tensor) -> Tensor:
    return rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _turned(x: Tensor, turn: RotaryTable, attention: Any, norm: str) -> Tensor:
    """Queries or keys of all rows, normalised where the family does so and turned, by heads."""
    rows = x[: turn.n_tokens]
    if (head_norm := getattr(attention, norm, None)) is not None:
        rows = _norm(head_norm, rows.view(len(rows), -1, attention.head_dim)).view(rows.shape)
    return _heads(turn(rows.view(*turn.shape, -1)), turn, attention)


def _heads(x: Tensor, turn: RotaryTable, attention: Any) -> Tensor:
    """Heads apart: a row per token to (batch, heads, length, head_dim)."""
    return x.view(-1, x.shape[-1])[: turn.n_tokens].view(*turn.shape, -1, attention.head_dim).transpose(1, 2)
