"""What gradient explainers share: fresh leaves, sums over players, noise, and the memory of a backward pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.typing import Scores
from toolkit.vlm.attention_size import attention_bytes
from toolkit.vlm.memory import format_bytes, free_bytes
from toolkit.vlm.protocol import WhiteBox

_CPU_TOKENS = 2048
"""Decoder tokens of one batch on a CPU at most, where several rows make one: larger tensors come from fresh pages each
time, which costs more than batching gains (at 620 tokens, 4.2 plain passes for each of 16 rows, and 2.8 for each of 4).
"""

_CPU_ROWS = 12
"""Rows of one batch on a CPU at most: on the embedded models 32 took as long and 20 to 60 MB more, half of them in
oneDNN's kernels, 256 KiB for each number of rows."""

_FRACTION = 0.8
"""Share of the free memory that an explainer may plan with."""


def leaf(tensor: Tensor) -> Tensor:
    """A detached copy that collects gradients."""
    return tensor.detach().clone().requires_grad_(True)


def to_scores(box: WhiteBox, by_pixel: Tensor, by_embedding: Tensor) -> Scores:
    """Sum attributions over each player's inputs.

    Args:
        box: The explained game's inside.
        by_pixel: Shape (1, *pixel_shape).
        by_embedding: Shape (1, n_text, dim).

    Returns:
        Shape (n_players,): image players, then text players.
    """
    image = box.pixels_to_players(by_pixel.detach().double())
    text = by_embedding.detach().double().sum(-1)
    return torch.cat([image, text], dim=1)[0].cpu().numpy()


def gradients(box: WhiteBox, pixels: Tensor, question: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of log P(target) with respect to pixels (B, ...) and question (B, n_text, dim), row by row."""
    pixels, question = leaf(pixels), leaf(question)
    with torch.enable_grad():
        value = box.score(pixels, question).sum()
    by_pixel, by_embedding = torch.autograd.grad(value, (pixels, question))
    return by_pixel, by_embedding


def noisy(tensor: Tensor, rows: int, level: float, rng: np.random.Generator) -> Tensor:
    """Copies (rows, ...) of a tensor (1, ...) with Gaussian noise of sd ``level`` times its range (max - min)."""
    spread = level * float(tensor.max() - tensor.min())
    noise = torch.from_numpy(rng.standard_normal((rows, *tensor.shape[1:])))
    return tensor + spread * noise.to(tensor.device, tensor.dtype)


_MEASURED: WeakKeyDictionary[nn.Module, dict[Hashable, int]] = WeakKeyDictionary()
"""Of each model the bytes of one backward row, by the shapes of what enters."""


def row_bytes(box: WhiteBox, *, under: str = "") -> int:
    """``backward_bytes``, measured once for each shape of a model's inputs.

    Args:
        box: The explained game's inside.
        under: Name of the rules that the backward pass is under, which may keep more or less.
    """
    measured = _MEASURED.setdefault(box.model, {})
    config = getattr(box.model, "config", None)
    length, attention = getattr(box, "length", None), getattr(config, "_attn_implementation", None)
    shapes = (box.pixels.shape, box.question.shape, box.pixels.dtype, box.pixels.device, len(box.target_ids))
    key = (under, attention, length, *shapes)
    if length is None or key not in measured:
        measured[key] = backward_bytes(box)
    return measured[key]


def backward_bytes(box: WhiteBox) -> int:
    """Memory in bytes that one row of a backward pass keeps, measured without keeping it.

    One forward pass records the size of every tensor that autograd would save and drops it at once, so that the
    measurement itself needs no more than plain inference. Tensors that are saved twice in a row count once.
    """
    weights = {p.untyped_storage().data_ptr() for p in box.model.parameters()}
    recent: deque[Tensor] = deque(maxlen=16)
    total = 0

    def pack(tensor: Tensor) -> int:
        nonlocal total
        address = tensor.untyped_storage().data_ptr()
        if address not in weights and all(address != kept.untyped_storage().data_ptr() for kept in recent):
            total += tensor.untyped_storage().nbytes()
            recent.append(tensor.detach())
        return 0

    def unpack(_: int) -> Tensor:
        raise RuntimeError("a memory measurement has no backward pass")

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        box.score(leaf(box.pixels), leaf(box.question))
    return total


def ways_out(model: nn.Module | None = None) -> str:
    """What somebody can do whose memory is too small for an explainer, in words.

    Args:
        model: The explained model, whose family says what bounds its images; None where it is not at hand.
    """
    from toolkit.vlm.adapters.families import FAMILIES, adapter_class, family_key

    config: Any = getattr(model, "config", None)
    tower = getattr(getattr(config, "vision_config", None), "model_type", "")
    key = family_key(getattr(config, "model_type", ""), tower)
    bounds = adapter_class(key).bounds if key in FAMILIES else ("max_pixels", "max_tiles")
    ways = [f"a smaller image ({', '.join(bounds)})"] if bounds else []
    if getattr(model, "dtype", torch.float32) == torch.float32:
        ways.append("dtype='bfloat16'")
    before = f"{', '.join(ways)} or " if ways else ""
    return f"use {before}occlusion, which needs neither gradients nor attention weights"


def check_fits(needed: int, available: int, *, what: str, model: nn.Module | None = None) -> None:
    """Refuse a run that cannot fit, with the numbers.

    Args:
        needed: Bytes that it needs.
        available: Bytes that are free.
        what: What needs them.
        model: The explained model, for what helps.

    Raises:
        MemoryError: ``needed`` is more than 80 % of ``available``.
    """
    if needed > _FRACTION * available:
        raise MemoryError(
            f"{what} needs about {format_bytes(needed)}, and {_FRACTION:.0%} of the {format_bytes(available)} that are "
            f"free may be planned with; {ways_out(model)}"
        )


def check_attention(query: Tensor, *, copies: int, model: nn.Module | None = None) -> None:
    """Refuse the attention weights of a query (batch, heads, tokens, dim) that do not fit.

    Args:
        query: What the layer asks with.
        copies: Tensors of the weights' shape that are held at once.
        model: The explained model, for what helps.

    Raises:
        MemoryError: They do not fit; the message has the numbers.
    """
    batch, heads, n, _ = query.shape
    needed = attention_bytes(batch * heads * n * n, query.element_size(), copies=copies)
    check_fits(needed, free_bytes(query.device), what=f"the attention of one layer ({n} tokens)", model=model)


def rows_that_fit(box: WhiteBox, *, wanted: int, under: str = "") -> int:
    """Rows per backward pass: as many as wanted, fewer where memory is short.

    Args:
        box: The explained game's inside.
        wanted: Rows at most.
        under: Name of the rules that the backward pass is under.

    Raises:
        MemoryError: Not even one row fits; the message has the numbers.
    """
    per_row, available = row_bytes(box, under=under), free_bytes(box.pixels.device)
    check_fits(per_row, available, what="one backward row", model=box.model)
    if box.pixels.device.type == "cpu":
        length = getattr(box, "length", None) or 1
        wanted = min(wanted, _CPU_ROWS, max(1, _CPU_TOKENS // length))
    return int(min(wanted, max(1, _FRACTION * available // max(per_row, 1))))
