"""Float32 matrix products and attention on a CPU, by whichever of PyTorch's libraries is fastest there.

PyTorch sends float32 products to MKL, which uses half of the vector width of some processors. oneDNN, which it carries
for convolutions and compiled graphs, uses all of it: twice as fast on an AMD EPYC with AVX-512, and a tenth faster
there with AVX2 alone. The fused attention is made for long sequences; for rows of a hundred tokens, two batched
products around a softmax are faster. ``make bench`` shows what this is worth on a machine.

Nothing here has a gradient: where one is wanted, and for every tensor of another kind, PyTorch's own functions run.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter, functional
from torch.overrides import TorchFunctionMode

_FEW_ROWS, _FEW_SCORES = 192, 1 << 15
"""Below these, calling PyTorch's own functions costs less than the others save."""

_LINEAR, _ATTENTION = functional.linear, functional.scaled_dot_product_attention
"""PyTorch's own, whatever another library puts in their place later: that may call these, and would be run twice."""

_SCORES = 1 << 20
"""Scores that are held at once, 4 MiB; a row with more of them is left to the fused kernel, which holds none."""


def _onednn_linear() -> Any:
    """The linear layer of oneDNN; None where this PyTorch has none, and on processors other than x86."""
    if platform.machine().lower() in {"x86_64", "amd64"} and cast(Any, torch.backends.mkldnn).is_available():
        product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
        return product if _is_linear(product) else None
    return None


def _is_linear(product: Any) -> bool:
    """Whether an operator computes what it did when this was written: PyTorch keeps it for its compiler alone."""
    rows, weight, bias = torch.arange(6.0).view(3, 2), torch.arange(8.0).view(4, 2), torch.arange(4.0)
    try:
        with torch.inference_mode():
            return torch.equal(product(rows, weight, bias, "none", [], ""), functional.linear(rows, weight, bias))
    except (RuntimeError, TypeError):
        return False


ONEDNN = _onednn_linear()
_is_on = True


@contextmanager
def as_pytorch() -> Iterator[None]:
    """Leave everything to PyTorch's own functions for a while, to see what the others are worth."""
    global _is_on
    before, _is_on = _is_on, False
    try:
        yield
    finally:
        _is_on = before


def _is_taken(x: Tensor) -> bool:
    is_plain = type(x) in (Tensor, Parameter) and x.layout == torch.strided and x.dtype == torch.float32
    return _is_on and is_plain and x.device.type == "cpu" and not torch.is_grad_enabled()


class FastKernels(TorchFunctionMode):
    """Within it, models call :func:`linear` and :func:`attention` where they mean PyTorch's own."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function or what takes its place."""
        return _REPLACED.get(func, func)(*args, **(kwargs or {}))


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``, as :func:`torch.nn.functional.linear`.

    Args:
        input: Shape (..., n_in). Many rows that are not :func:`padded` are copied.
        weight: Shape (n_out, n_in).
        bias: Shape (n_out,).

    Returns:
        Shape (..., n_out).
    """
    rows = input.reshape(-1, input.shape[-1])
    if not (_has_many(rows) and _is_taken(weight)):
        return _LINEAR(input, weight, bias)
    out = ONEDNN(padded(rows), weight, bias, "none", [], "")[: len(rows)]
    return cast(Tensor, out.view(*input.shape[:-1], out.shape[-1]))


def padded(rows: Tensor) -> Tensor:
    """Rows (n, width), and behind them up to n / 16 rows of zeros if there are so many that oneDNN takes them.

    oneDNN compiles a kernel for every number of rows, which takes longer than the product itself; so there are only 16
    numbers between one power of two and the next.
    """
    if not _has_many(rows):
        return rows
    missing = -len(rows) % (1 << len(rows).bit_length() - 5)
    return functional.pad(rows, (0, 0, 0, missing)) if missing else rows


def _has_many(rows: Tensor) -> bool:
    return ONEDNN is not None and _is_taken(rows) and len(rows) >= _FEW_ROWS


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
    """``softmax(scale query @ key.T + attn_mask) @ value``, as PyTorch's ``scaled_dot_product_attention``.

    Args:
        query: Shape (batch, heads, length, head_dim).
        key: Shape (batch, key_heads, key_length, head_dim); each of its heads serves heads / key_heads of the query's.
        value: Shape (batch, key_heads, key_length, value_dim).
        attn_mask: Added to the scores, in any shape that broadcasts to (batch, heads, length, key_length).
        dropout_p: Left to PyTorch, as is whatever else is not float32 on a CPU or too long.
        is_causal: Left to PyTorch.
        scale: Factor of the scores; None for 1 / sqrt(head_dim).
        enable_gqa: Whether key_heads may differ from heads.

    Returns:
        Shape (batch, heads, length, value_dim).
    """
    is_simple = query.dim() == 4 and not dropout_p and not is_causal and (enable_gqa or query.shape[1] == key.shape[1])
    is_added = attn_mask is None or (attn_mask.dtype == query.dtype and attn_mask.dim() == 4)
    if not (
        _is_taken(query) and is_simple and is_added
        and _n_scores(query, key) <= _SCORES and len(query) * _n_scores(query, key) >= _FEW_SCORES
    ):  # fmt: skip
        return _ATTENTION(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    batch, heads, length, _ = query.shape
    step = _SCORES // _n_scores(query, key)
    out = query.new_empty(batch, length, heads, value.shape[-1]).transpose(1, 2)
    scores = query.new_empty(min(step, batch), heads, length, key.shape[2])
    for start in range(0, batch, step):
        some = slice(start, start + step)
        bias = attn_mask if attn_mask is None or len(attn_mask) == 1 else attn_mask[some]
        out[some] = _attend(query[some], key[some], value[some], bias, factor, scores)
    return out


def _n_scores(query: Tensor, key: Tensor) -> int:
    """Scores of one row of the batch."""
    return query.shape[1:3].numel() * key.shape[2]


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, factor: float, space: Tensor) -> Tensor:
    """Attention of some rows, whose scores are written to ``space``."""
    groups = query.shape[0] * key.shape[1]
    asked, found, given = (x.reshape(groups, -1, x.shape[-1]) for x in (query, key, value))
    scores = space[: len(query)]
    grouped = scores.view(groups, -1, scores.shape[-1])
    torch.baddbmm(grouped, asked, found.transpose(1, 2), beta=0, alpha=factor, out=grouped)
    if bias is not None:
        scores.add_(bias)
    torch.softmax(scores, -1, out=scores)
    return torch.bmm(grouped, given).view(*query.shape[:-1], -1)


_REPLACED = {_LINEAR: linear, _ATTENTION: attention}


def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of what is freed, so that the next batch does not wait for fresh pages.

    Freeing a block that came from the system raises the allocator's thresholds to its size, 32 MiB at most, and twice
    that; the block's pages are never touched. With another allocator nothing happens.
    """
    torch.empty((32 << 20) - (64 << 10), dtype=torch.uint8)
