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
from transformers.activations import ACT2FN

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
    """Whether a module is an MLP whose activation multiplies a second projection."""
    return all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj"))


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
    """Scores S and weights A of every attention call under the rules, for the ledger of :mod:`lrp_conservation`."""

    softmax: list[tuple[nn.Module, Tensor, Tensor]] = field(default_factory=list)


def _attention(tape: Tape | None) -> AttentionHandler:
    def handler(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float,
        call: Callable[[], Tensor],
    ) -> Tensor:
        keys = scale_gradient(repeat_heads(key, query.shape[1]), 0.5)
        values = scale_gradient(repeat_heads(value, query.shape[1]), 0.5)
        scores = torch.matmul(scale_gradient(query, 0.5), keys.transpose(-1, -2)) * scaling
        weights = masked_softmax(module, scores, mask)
        if tape is not None:
            tape.softmax.append((module, scores, weights))
        return torch.matmul(scale_gradient(weights, 0.5), values).transpose(1, 2)

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
    with hooks([]) as handles, attention_scope(model, _attention(tape)):
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
