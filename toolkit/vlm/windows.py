"""Attention within windows of a packed sequence, all windows of one length in one call.

transformers runs the windows of Qwen2.5-VL's vision tower one after the other unless a kernel takes packed sequences:
thousands of small calls for a batch of pictures. This is such a kernel, made of the ordinary one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_NAME = "flash_attention_windows"  # the prefix tells transformers that packed sequences are understood


def window_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None = None,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **settings: Any,  # the table's calling convention: what other kernels need is not needed here
) -> tuple[Tensor, None]:
    """Attention of each window to itself.

    Args:
        module: The calling module.
        query: Shape (1, heads, length, head_dim); likewise ``key`` and ``value``.
        key: Keys.
        value: Values.
        attention_mask: None: the windows are the mask.
        scaling: Factor of the scores.
        cu_seq_lens_q: Shape (n_windows + 1,): where the windows begin and end.
        settings: Ignored.

    Returns:
        Shape (1, length, heads, head_dim), and None.

    Raises:
        ValueError: No windows are given.
    """
    if cu_seq_lens_q is None:
        raise ValueError("window attention needs cu_seq_lens_q, the bounds of the windows")
    bounds = cu_seq_lens_q.tolist()
    starts: dict[int, list[int]] = {}
    for start, end in pairwise(bounds):
        if end > start:
            starts.setdefault(end - start, []).append(start)
    out = torch.empty_like(query[0])
    for length, begins in starts.items():
        index = torch.tensor(begins, device=query.device)[:, None] + torch.arange(length, device=query.device)
        q, k, v = (x[0][:, index].transpose(0, 1) for x in (query, key, value))
        out[:, index] = scaled_dot_product_attention(q, k, v, scale=scaling).transpose(0, 1)
    return out.transpose(0, 1)[None], None


@contextmanager
def batched_windows(vision_tower: Any) -> Iterator[None]:
    """Run a vision tower's windows in batches; the tower is as before on exit."""
    config = vision_tower.config
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


ALL_ATTENTION_FUNCTIONS.register(_NAME, window_attention)
