"""Temporary changes to one model, undone on exit: hooks, attention taps, and a proof that nothing was left behind.

Every attention module of a transformers model asks one table which function to call, by the name in its own
configuration. :func:`attention_scope` gives each module of *one* model a private copy of its configuration that names
a function of ours, and puts the original back on exit. Other models, even ones that share the configuration object,
keep calling what they called before.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_NAME = "synergy_scoped"
_SUPPORTED = ("eager", "sdpa")


class AttentionHandler(Protocol):
    """Replaces the attention of one module: gets what the module would have passed on, and the original function."""

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float,
        call: Callable[[], Tensor],
    ) -> Tensor:
        """Return the attention output (batch, sequence, heads, head_dim)."""
        ...


def is_attention(module: nn.Module) -> bool:
    """Whether a module computes attention through the transformers attention table."""
    return hasattr(module, "is_causal") and hasattr(module, "config") and type(module).__name__.endswith("Attention")


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Attention modules of a model by qualified name, in the order of definition."""
    return {name: module for name, module in model.named_modules() if is_attention(module)}


def _scoped(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,  # the table's calling convention; all of it is passed on
) -> tuple[Tensor, None]:
    config: Any = module.config
    original = ALL_ATTENTION_FUNCTIONS.get_interface(
        config.synergy_original, sys.modules[type(module).__module__].eager_attention_forward
    )
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling

    def call() -> Tensor:
        out: Tensor = original(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs)[0]
        return out

    return config.synergy_handler(module, query, key, value, attention_mask, scaling, call), None


@contextmanager
def attention_scope(model: nn.Module, handler: AttentionHandler) -> Iterator[None]:
    """Route the attention of one model through a handler; everything is as before on exit, also after an error.

    Raises:
        ValueError: The model has no attention modules, or one uses an implementation without visible weights.
    """
    modules = attention_modules(model)
    if not modules:
        raise ValueError(f"{type(model).__name__} has no attention modules that use transformers' attention table")
    originals = [module.config for module in modules.values()]
    for name, config in zip(modules, originals, strict=True):
        used = getattr(config, "_attn_implementation", None)
        if used not in _SUPPORTED:
            raise ValueError(f"{name} uses attention {used!r}; load the model with one of {', '.join(_SUPPORTED)}")
    if _NAME not in ALL_ATTENTION_FUNCTIONS:
        ALL_ATTENTION_FUNCTIONS.register(_NAME, _scoped)
    try:
        for module, config in zip(modules.values(), originals, strict=True):
            private: Any = copy.copy(config)
            private.__dict__["_attn_implementation_internal"] = _NAME
            private.__dict__["synergy_original"] = config._attn_implementation  # type: ignore[union-attr]
            private.__dict__["synergy_handler"] = handler
            module.config = private
        yield
    finally:
        for module, config in zip(modules.values(), originals, strict=True):
            module.config = config


def attention_weights(module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """Softmax attention (batch, heads, queries, keys) of one module, with its mask or causality.

    ``query`` (batch, heads, queries, dim) and ``key`` (batch, kv_heads, keys, dim); grouped heads are repeated.
    """
    key = repeat_heads(key, query.shape[1])
    return masked_softmax(module, torch.matmul(query, key.transpose(-1, -2)) * scaling, mask)


def masked_softmax(module: nn.Module, scores: Tensor, mask: Tensor | None) -> Tensor:
    """Attention weights of scores (batch, heads, queries, keys) under the module's mask, or its causality."""
    queries, keys = scores.shape[-2:]
    hidden = torch.finfo(scores.dtype).min
    if mask is None:
        if module.is_causal and queries > 1:
            visible = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).tril(diagonal=keys - queries)
            scores = scores.masked_fill(~visible, hidden)
    elif mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask[..., :keys], hidden)
    else:
        scores = scores + mask[..., :keys]
    wide = torch.promote_types(scores.dtype, torch.float32)
    return torch.softmax(scores.to(wide), dim=-1).to(scores.dtype)


def repeat_heads(states: Tensor, n_heads: int) -> Tensor:
    """Repeat key or value heads (batch, kv_heads, n, dim) to ``n_heads``."""
    return states.repeat_interleave(n_heads // states.shape[1], dim=1)


@contextmanager
def hooks(handles: list[torch.utils.hooks.RemovableHandle]) -> Iterator[list[torch.utils.hooks.RemovableHandle]]:
    """Remove every handle in the list on exit, also those that were appended inside, also after an error."""
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()


def _count(table: dict[int, Callable[..., object]]) -> int:
    return sum(not str(getattr(hook, "__module__", "")).startswith("transformers.") for hook in table.values())


_HOOK_TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def fingerprint(model: nn.Module) -> dict[str, tuple[object, ...]]:
    """What an explainer could leave behind, by module: hooks, a replaced forward, configuration, mode, gradients.

    A forward that was replaced in a module's class, for all models of the process, counts too. Two fingerprints of
    the same model are equal exactly when nothing of this changed in between. Hooks that transformers itself installs
    on a model's first forward pass are not counted.
    """
    state: dict[str, tuple[object, ...]] = {}
    for name, module in model.named_modules():
        hooked = tuple(_count(getattr(module, table)) for table in _HOOK_TABLES)
        kind = type(module)
        forwards = (id(module.__dict__.get("forward")), id(kind), id(kind.forward), id(kind.__call__))
        identities = (*forwards, id(getattr(module, "config", None)))
        state[name or kind.__name__] = (*hooked, *identities, module.training)
    for name, parameter in model.named_parameters():
        state[f"parameter {name}"] = (parameter.requires_grad, parameter.grad is None, parameter._version)
    return state


def leftovers(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    """Names of the modules and parameters whose fingerprints differ."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
