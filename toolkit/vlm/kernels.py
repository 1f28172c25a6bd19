"""Float32 matrix products and attention on a CPU, by the fastest of the libraries that PyTorch carries.

PyTorch sends float32 products to MKL, which uses half of the vector width of some processors; oneDNN, which it carries
for convolutions and compiled graphs, uses all of it everywhere. Its fused attention is made for long sequences; for
rows of a hundred tokens two batched products around a softmax take half the time.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_ROWS = 64
_SCORES = 16 << 20


def _product() -> Any:
    if platform.machine().lower() in {"x86_64", "amd64"} and torch.backends.mkldnn.is_available():
        return getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return None


_PRODUCT = _product()


class FastKernels(TorchFunctionMode):
    """Within it, linear layers and attention of float32 tensors on a CPU run as :func:`linear` and :func:`attention`.

    Everything else, and everything that they do not take, runs as ever. For inference mode only: nothing here has a
    gradient.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, or what takes its place."""
        return _REPLACED.get(func, func)(*args, **(kwargs or {}))


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """:func:`torch.nn.functional.linear`, by oneDNN where that can.

    Rows are padded to a multiple of 64: oneDNN compiles a kernel for each number of rows, which costs more than it
    saves unless the number comes again.
    """
    if not _is_taken(input):
        return functional.linear(input, weight, bias)
    rows = input.reshape(-1, input.shape[-1])
    out = _PRODUCT(padded(rows), weight, bias, "none", [], "")[: len(rows)]
    return cast(Tensor, out.view(*input.shape[:-1], out.shape[-1]))


def padded(rows: Tensor) -> Tensor:
    """Rows (n, width) with as many zero rows behind them as :func:`linear` would add, so that it adds none."""
    if not _is_taken(rows) or len(rows) % _ROWS == 0:
        return rows
    return functional.pad(rows, (0, 0, 0, -len(rows) % _ROWS))


def _is_taken(x: Tensor) -> bool:
    return _PRODUCT is not None and x.dtype == torch.float32 and x.device.type == "cpu"


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """:func:`torch.nn.functional.scaled_dot_product_attention`, as two products around a softmax where that is faster.

    Returns:
        Shape (batch, heads, length, head_dim).
    """
    n_scores = query.shape[:-1].numel() * key.shape[-2]
    if (
        query.dtype != torch.float32 or query.device.type != "cpu" or query.dim() != 4 or n_scores > _SCORES
        or is_causal or dropout_p or (attn_mask is not None and attn_mask.dtype != torch.float32)
    ):  # fmt: skip
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return _attend(query, key, value, attn_mask, scale)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    batch, heads, length, width = query.shape
    groups = batch * key.shape[1]
    scores = torch.baddbmm(
        query.new_empty(1),
        query.reshape(groups, -1, width),
        key.reshape(groups, -1, width).transpose(1, 2),
        beta=0,
        alpha=scale,
    ).view(batch, heads, length, -1)
    if mask is not None:
        scores.add_(mask)
    torch.softmax(scores, -1, out=scores)
    out = torch.bmm(scores.view(groups, -1, scores.shape[-1]), value.reshape(groups, -1, value.shape[-1]))
    return out.view(batch, heads, length, -1)


_REPLACED = {functional.linear: linear, functional.scaled_dot_product_attention: attention}


def keep_freed_memory() -> None:
    """Have the allocator of glibc keep what is freed, up to 64 MiB, so that the next batch meets no fresh pages.

    A block from the system that is freed raises the allocator's thresholds to its size, 32 MiB at most; none is
    touched here. Elsewhere it does nothing.
    """
    del_me = torch.empty((32 << 20) - (64 << 10), dtype=torch.uint8)
    del del_me
