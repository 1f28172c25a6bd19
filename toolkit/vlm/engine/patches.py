"""Detect patched code: whether a model's classes, functions and attention tables are its libraries' own.

Other libraries replace these for the whole process, before a model is loaded or after: a class's ``forward``, a
function of a modelling file (``eager_attention_forward``), an entry of the attention table. Where code was written is
told by its globals, which wrapping a function does not change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache, partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, cast

import torch
from torch import nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

Code = tuple[tuple[str, object, tuple[object, ...]], ...]
"""Of each class, file and table: its name, the class where it is one, and what stands behind its names now."""

_TRUSTED = sys.stdlib_module_names | {
    "torch", "transformers", "torchvision", "numpy", "PIL", "huggingface_hub", "accelerate", "packaging", "kernels",
}  # fmt: skip
"""Packages whose functions transformers' own files use."""

_SHARED = ("transformers.integrations.sdpa_attention", "transformers.masking_utils")
"""Files behind the attention tables."""

_OPERATIONS = torch.nn.functional
"""PyTorch's functions, which other libraries replace too: an attention kernel in the place of
``scaled_dot_product_attention``, for example."""


def patches(model: nn.Module) -> tuple[str, ...]:
    """What of the code that computes a model was replaced by somebody else's, each in words; empty if nothing was.

    Example:
        >>> from toolkit.scenes.training.tiny import build_tiny
        >>> patches(build_tiny("llava", ("yes", "no"), seed=0)[0])
        ()
    """
    return foreign(code_of(model, frozenset(map(type, model.modules()))))


def code_of(model: nn.Module, classes: frozenset[type]) -> Code:
    """Everything that computes a model of these classes, to be compared with what it was."""
    holders, modules = _holders(classes)
    held = ((where, holder, tuple(map(names.get, keys))) for where, holder, names, keys in holders)
    return (*held, *_table_entries(model, modules))


_Holder = tuple[str, type | ModuleType, Mapping[str, object], tuple[str, ...]]


@lru_cache(maxsize=64)
def _holders(classes: frozenset[type]) -> tuple[tuple[_Holder, ...], tuple[ModuleType, ...]]:
    """Classes with their bases, files and tables behind which code stands, their names, and the files alone."""
    kinds = sorted(classes, key=lambda kind: (kind.__module__, kind.__qualname__))
    bases = dict.fromkeys(base for kind in kinds for base in kind.__mro__[:-1])
    files = dict.fromkeys((*(kind.__module__ for kind in kinds), *_SHARED))
    modules = tuple(sys.modules[name] for name in files if name.startswith("transformers.") and name in sys.modules)
    holders: tuple[type | ModuleType, ...] = (*bases, *modules, *_TABLES, _OPERATIONS)
    return tuple((holder.__name__, holder, vars(holder), _names(holder)) for holder in holders), modules


@lru_cache(maxsize=64)
def foreign(code: Code) -> tuple[str, ...]:
    """What of some code was written elsewhere."""
    found: dict[str, None] = {}
    for where, holder, values in code:
        names = _names(holder) if isinstance(holder, type | ModuleType) else cast(tuple[str, ...], holder)
        for name, value in zip(names, values, strict=True):
            if value is not None and _is_foreign(value, name, holder):
                found[f"{where}.{name} is {_described(value)}"] = None
    return tuple(found)


def _table_entries(model: nn.Module, modules: Iterable[ModuleType]) -> Iterator[tuple[str, object, tuple[object, ...]]]:
    """What the attention tables say for the implementations that a model uses; a file may have a table of its own."""
    used = tuple(sorted({str(getattr(config, "_attn_implementation", None)) for config in configs(model)}))
    tables = {id(table): table for module in modules if (table := vars(module).get("ALL_ATTENTION_FUNCTIONS"))}
    for table in (*tables.values(), ALL_MASK_ATTENTION_FUNCTIONS):
        yield type(table).__name__, used, tuple(map(cast(Mapping[str, object], table).get, used))


def configs(model: nn.Module) -> list[Any]:
    """A model's configuration and those of its parts."""
    config: Any = getattr(model, "config", None)
    parts = (getattr(config, name, None) for name in getattr(config, "sub_configs", ()))
    return [one for one in (config, *parts) if one is not None]


_TABLES = (
    *dict.fromkeys((type(ALL_ATTENTION_FUNCTIONS), type(ALL_MASK_ATTENTION_FUNCTIONS))),
    type(ALL_ATTENTION_FUNCTIONS).__mro__[1],
)


@cache
def _names(holder: type | ModuleType) -> tuple[str, ...]:
    """Names in a class or a file behind which something stood that can be called, when it was first looked at."""
    always = ("forward", "__call__") if isinstance(holder, type) else ()
    kinds = (classmethod, staticmethod, property)
    return tuple(
        dict.fromkeys(
            (*always, *(name for name, value in vars(holder).items() if callable(value) or isinstance(value, kinds)))
        )
    )


def _is_foreign(value: object, name: str, holder: object) -> bool:
    homes = list(_homes(value))
    if isinstance(value, partial):
        return True
    own = holder.__module__.partition(".")[0] if isinstance(holder, type) else "transformers"
    if any(home.partition(".")[0] not in _TRUSTED | {own} for home in homes):
        return True
    if name != "forward" or not isinstance(holder, type) or own not in _TRUSTED:
        return False
    inner = _innermost(value)
    return inner is not nn.Module.forward and (
        getattr(inner, "__module__", None) != holder.__module__
        or getattr(inner, "__qualname__", None) != f"{holder.__qualname__}.forward"
    )


def _homes(value: object) -> Iterator[str]:
    """The modules in which the code behind a value was written: its own, and that of all that it wraps."""
    while True:
        value = _bare(value)
        if isinstance(value, FunctionType):
            yield str(value.__globals__.get("__name__"))
        elif isinstance(value, type | BuiltinFunctionType):
            yield value.__module__ or "builtins"
        elif value is not None:
            yield type(value).__module__
        wrapped = vars(value).get("__wrapped__") if isinstance(value, FunctionType) else None
        if wrapped is None:
            return
        value = wrapped


def _innermost(value: object) -> object:
    value = _bare(value)
    while isinstance(value, FunctionType) and "__wrapped__" in vars(value):
        value = _bare(vars(value)["__wrapped__"])
    return value


def _bare(value: object) -> object:
    """The function in a class or static method, a property or a bound method."""
    if isinstance(value, classmethod | staticmethod | MethodType):
        return value.__func__
    if isinstance(value, partial):
        return _bare(value.func)
    return value.fget if isinstance(value, property) else value


def _described(value: object) -> str:
    bare = _bare(value)
    code = getattr(bare, "__code__", None)
    name = getattr(code, "co_qualname", None) or getattr(bare, "__qualname__", type(bare).__qualname__)
    return f"{name} of {next(_homes(value), 'nowhere')}"


def is_known_class(kind: type) -> bool:
    """Whether a class is one of transformers' models, and no subclass or namesake of one."""
    return kind.__module__.startswith("transformers.models.")
