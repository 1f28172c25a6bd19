"""Qwen's vision towers on batches of pictures: the same numbers, with all windows of one length in one call.

transformers runs the windows one after the other unless a kernel takes packed sequences: thousands of small calls for a
batch of pictures. It also convolves patches one by one and lays out positions and windows anew for every picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from toolkit.vlm.engine.fingerprint import is_altered
from toolkit.vlm.engine.rotary import RotaryTable


def window_attention(query: Tensor, key: Tensor, value: Tensor, bounds: list[int], scaling: float) -> Tensor:
    """Attention of each window to itself.

    Args:
        query: Shape (length, heads, head_dim); likewise ``key`` and ``value``.
        key: Keys.
        value: Values.
        bounds: Where the windows begin and end; they cover the sequence.
        scaling: Factor of the scores.

    Returns:
        Shape (length, heads, head_dim).
    """
    starts: dict[int, list[int]] = {}
    for start, end in pairwise(bounds):
        if end > start:
            starts.setdefault(end - start, []).append(start)
    if len(starts) == 1:
        length = next(iter(starts))
        q, k, v = (x.view(-1, length, *x.shape[1:]).transpose(1, 2) for x in (query, key, value))
        return scaled_dot_product_attention(q, k, v, scale=scaling).transpose(1, 2).flatten(0, 1)
    out = torch.empty_like(query)
    for length, begins in starts.items():
        index = torch.tensor(begins, device=query.device)[:, None] + torch.arange(length, device=query.device)
        q, k, v = (x[index].transpose(1, 2) for x in (query, key, value))
        out[index] = scaled_dot_product_attention(q, k, v, scale=scaling).transpose(1, 2)
    return out


@contextmanager
def batched_windows(vision_tower: Any) -> Iterator[None]:
    """Run a tower's windows in batches, its patches as one matrix, and its bookkeeping once for pictures of one grid.

    The tower is as before on exit. One with hooks, methods of its own or patched classes runs as transformers runs it.
    """
    if is_altered(vision_tower):
        yield
        return
    patches = vision_tower.patch_embed.proj
    attentions = [block.attn for block in vision_tower.blocks]
    for attention in attentions:
        attention.forward = partial(_attend, attention)
    patches.forward = partial(_patch_products, patches)
    vision_tower.forward = partial(_forward_alike, vision_tower)
    try:
        yield
    finally:
        for module in (*attentions, patches, vision_tower):
            del module.forward


def _attend(
    attention: Any,
    hidden_states: Tensor,
    cu_seqlens: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    **settings: Any,  # transformers' calling convention: what other kernels need is not needed here
) -> Tensor:
    """The attention's own forward, with positions turned in place and windows in batches; shape (length, dim)."""
    heads = attention.num_heads
    cosine, sine = position_embeddings
    turn = RotaryTable.of_heads(cosine.float(), sine.float(), heads)
    query, key, value = attention.qkv(hidden_states).view(len(hidden_states), 3, -1).unbind(1)
    query, key = (turn(x.float()).to(x.dtype) for x in (query, key))
    query, key, value = (x.unflatten(-1, (heads, -1)) for x in (query, key, value))
    attended = window_attention(query, key, value, cu_seqlens.tolist(), attention.scaling)
    return cast(Tensor, attention.proj(attended.flatten(1)))


def _patch_products(convolution: nn.Conv3d, patches: Tensor) -> Tensor:
    """A convolution over patches of just its kernel's size (n, channels, ...), as the matrix product (n, dim) it is."""
    return linear(patches.flatten(1), convolution.weight.flatten(1), convolution.bias)


def _forward_alike(tower: Any, hidden_states: Tensor, grid_thw: Tensor, **settings: Any) -> Any:
    """The tower's own forward, given the positions and windows of the first picture again for every other."""
    first, n = grid_thw[:1], len(grid_thw)
    if hasattr(tower, "window_size") and torch.equal(grid_thw, first.expand_as(grid_thw)):
        merge = tower.spatial_merge_size
        positions = get_vision_position_ids(first, merge)
        order, bounds = get_vision_window_index(first, merge, tower.window_size, tower.patch_size)
        settings |= {
            "position_ids": positions.repeat(n, 1),
            "window_index": _shifted(order, n, len(order)),
            "cu_window_seqlens": torch.cat((bounds[:1], _shifted(bounds[1:], n, len(positions)))),
        }
    return type(tower).forward(tower, hidden_states, grid_thw=grid_thw, **settings)


def _shifted(index: Tensor, n: int, step: int) -> Tensor:
    """An index n times over, larger by ``step`` every time."""
    return (index + step * torch.arange(n, device=index.device, dtype=index.dtype)[:, None]).flatten()
