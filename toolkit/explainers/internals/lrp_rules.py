"""AttnLRP's rules as a modified backward pass of one model, for as long as a context lasts.

Relevance of a tensor is tensor * gradient, with the gradient computed under these rules:

    linear, convolution, residual sum, reshape    the ordinary gradient (the 0-rule; a bias keeps its share)
    LayerNorm, RMSNorm                            the standard deviation is a constant
    GELU, SiLU, quick GELU                        f(x) = x * c with the constant c = f(x) / x
    gated MLP  f(g(x)) * u(x)                     each factor gets half
    attention  O = A V                            each factor gets half
    attention  S = q k^T                          each factor gets half
    softmax                                       the ordinary gradient (a Taylor expansion at the scores)

Everything else that a model of the known families does (patch embedding, window permutation, pixel shuffle, patch
merge or pooling, projector, layer scale, rotary positions) is linear, or made of the parts above. The rules are hooks
on the modules of *one* model and a scoped attention function; nothing is patched in a class or in a library.

Reference: Achtibat et al., 2024, arXiv 2402.05602. Layer-wise relevance propagation is covered by patents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.activations import ACT2FN

from toolkit.explainers.internals.gradients import check_attention
from toolkit.explainers.internals.scope import AttentionHandler, attention_scope, hooks, masked_softmax, repeat_heads

_LINEAR = (nn.Linear, nn.Conv2d, nn.Conv3d, nn.Embedding, nn.Identity, nn.Dropout, nn.ModuleList, nn.AvgPool2d)
_ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.GELU,
    nn.SiLU,
    *{type(ACT2FN[name]) for name in ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "silu", "swish")},
)


class _Scale(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """The same tensor; its relevance is multiplied by ``factor``."""
    return cast(Tensor, _Scale.apply(x, factor))  # type: ignore[no-untyped-call]


def is_rms_norm(module: nn.Module) -> bool:
    """Whether a module divides by the root mean square: torch's own, or a transformers one."""
    weight = getattr(module, "weight", None)
    return isinstance(module, nn.RMSNorm) or (
        (hasattr(module, "variance_epsilon") or _is_gemma_norm(module))
        and isinstance(weight, Tensor)
        and weight.ndim == 1
    )


def _is_gemma_norm(module: nn.Module) -> bool:
    """Whether a norm's gain is one more than its weight, as in Gemma 3; Gemma 2 caps its scores, which has no rule."""
    return type(module).__name__ == "Gemma3RMSNorm"


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an elementwise activation with f(0) = 0 that a rule exists for."""
    return isinstance(module, _ACTIVATIONS)


def is_gated(module: nn.Module) -> bool:
    """Whether a module is an MLP whose activation multiplies a second projection, or one's second half (GLM)."""
    parts = {name for name, _ in module.named_children()}
    return parts >= {"gate_proj", "up_proj", "down_proj"} or parts >= {"gate_up_proj", "down_proj"}


def uncovered(model: nn.Module) -> list[str]:
    """Types of modules that no rule covers: leaves, and MLPs gated in another way; none in the known families."""
    leaves = (module for module in model.modules() if not any(True for _ in module.children()))
    known = (
        module
        for module in leaves
        if not (isinstance(module, (*_LINEAR, nn.LayerNorm)) or is_rms_norm(module) or is_activation(module))
        and "RotaryEmbedding" not in type(module).__name__
    )
    gates = (
        module
        for module in model.modules()
        if any("gate" in name for name, _ in module.named_children()) and not is_gated(module)
    )
    return sorted({type(module).__name__ for module in (*known, *gates)})


def _rms_norm(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    x = args[0].float()
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None)) or torch.finfo(x.dtype).eps
    scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon).detach()
    weight = cast(Tensor, module.weight)
    if _is_gemma_norm(module):
        return (x * scale * (1.0 + weight.float())).to(args[0].dtype)
    return weight * (x * scale).to(args[0].dtype)


def _layer_norm(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    norm = cast(nn.LayerNorm, module)
    x = args[0]
    centred = x - x.mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + norm.eps).detach()
    weighted = (centred * scale * norm.weight).contiguous()
    return weighted if norm.bias is None else weighted + norm.bias


def _activation(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    x = args[0]
    slope = torch.where(x == 0, torch.zeros_like(x), output / torch.where(x == 0, torch.ones_like(x), x))
    return x * slope.detach()


def _half(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (scale_gradient(args[0], 0.5), *args[1:])


@dataclass
class Tape:
    """Of each attention module the softmax term R(A) - R(S), for the ledger of :mod:`lrp_conservation`.

    A module's entry is there once the backward pass has been through all its calls.
    """

    softmax: dict[nn.Module, float] = field(default_factory=dict)


class _HalvedAttention(torch.autograd.Function):
    """Attention (batch, heads, queries, dim) whose weights are computed again going back, and kept for no other layer.

    Each factor of both products gets half; the softmax has its ordinary gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, weigh: _Weigh, keep: Callable[[float], None]
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.weigh, ctx.keep = weigh, keep
        return torch.matmul(weigh(query, key)[1], value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        scores, weights = ctx.weigh(query, key)
        by_output = 0.5 * gradients[0]
        by_value = torch.matmul(weights.transpose(-1, -2), by_output)
        by_weights = torch.matmul(by_output, value.transpose(-1, -2))
        row = (weights * by_weights).sum(-1, keepdim=True)
        by_scores = weights * (by_weights - row)
        ctx.keep(float(row.double().sum() - (scores * by_scores).sum(dtype=torch.float64)))
        by_product = (0.5 * ctx.weigh.scaling) * by_scores
        return torch.matmul(by_product, key), torch.matmul(by_product.transpose(-1, -2), query), by_value, None, None


@dataclass(frozen=True)
class _Weigh:
    """Scores and weights of one attention call."""

    module: nn.Module
    mask: Tensor | None
    scaling: float
    model: nn.Module | None = None

    def __call__(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        check_attention(query, copies=5, model=self.model)
        scores = torch.matmul(query, key.transpose(-1, -2)) * self.scaling
        return scores, masked_softmax(self.module, scores, self.mask)


def _attention(tape: Tape | None, model: nn.Module | None = None) -> AttentionHandler:
    books = Tape() if tape is None else tape

    def handler(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float,
        call: Callable[[], Tensor],
    ) -> Tensor:
        def keep(term: float) -> None:
            books.softmax[module] = books.softmax.get(module, 0.0) + term

        keys, values = repeat_heads(key, query.shape[1]), repeat_heads(value, query.shape[1])
        weigh = _Weigh(module, mask, scaling, model)
        output: Tensor = _HalvedAttention.apply(query, keys, values, weigh, keep)  # type: ignore[no-untyped-call]
        return output.transpose(1, 2)

    return handler


@contextmanager
def lrp_rules(model: nn.Module, tape: Tape | None = None) -> Iterator[None]:
    """Give one model AttnLRP's backward pass; everything is as before on exit, also after an error.

    Raises:
        ValueError: A module of the model has no rule.
    """
    unknown = uncovered(model)
    if unknown:
        raise ValueError(f"attn-lrp has no rule for {', '.join(unknown)} of {type(model).__name__}")
    with hooks([]) as handles, attention_scope(model, _attention(tape, model)):
        for module in model.modules():
            if is_rms_norm(module):
                handles.append(module.register_forward_hook(_rms_norm))
            elif isinstance(module, nn.LayerNorm):
                handles.append(module.register_forward_hook(_layer_norm))
            elif is_activation(module):
                handles.append(module.register_forward_hook(_activation))
            elif is_gated(module):
                handles.append(cast(nn.Module, module.down_proj).register_forward_pre_hook(_half))
        yield
