"""Rotary positions, applied to all heads at once and in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RotaryTable:
    """Rotary positions of tokens, repeated over the heads, with the sign of the swapped half in the sine.

    A head x = (a, b) of two halves becomes (a cos - b sin, b cos + a sin): Su et al., RoFormer, arXiv 2104.09864, in
    the layout of transformers.

    Attributes:
        cosine: Shape (..., heads * head_dim).
        sine: Likewise.
        head_dim: Width of a head.
    """

    cosine: Tensor
    sine: Tensor
    head_dim: int

    @property
    def shape(self) -> torch.Size:
        """Shape of the tokens, heads left out."""
        return self.cosine.shape[:-1]

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return self.shape.numel()

    @classmethod
    def of_heads(cls, cosine: Tensor, sine: Tensor, heads: int) -> RotaryTable:
        """From the tables (..., head_dim) that a rotary embedding of transformers returns."""
        half = cosine.shape[-1] // 2
        signed = torch.cat((-sine[..., :half], sine[..., half:]), dim=-1)
        times = (1,) * (cosine.dim() - 1) + (heads,)
        return cls(cosine.repeat(times), signed.repeat(times), cosine.shape[-1])

    def at(self, read: tuple[Tensor, ...]) -> RotaryTable:
        """The positions of some tokens, picked by an index of the leading axes."""
        return RotaryTable(self.cosine[read], self.sine[read], self.head_dim)

    def __call__(self, x: Tensor) -> Tensor:
        """Queries or keys (..., width) turned by their positions, in place; fewer heads than in the tables will do."""
        width = x.shape[-1]
        halves = x.view(*x.shape[:-1], -1, 2, self.head_dim // 2)
        swapped = torch.cat((halves[..., 1:, :], halves[..., :1, :]), dim=-2).view(x.shape)
        return x.mul_(self.cosine[..., :width]).addcmul_(swapped, self.sine[..., :width])
