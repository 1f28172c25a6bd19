"""The registry of families: ``model_type`` of a checkpoint's config.json -> the adapter that knows it."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from toolkit.registry import Registry
from toolkit.vlm.adapters.adapter_base import Adapter

FAMILIES: Registry[str] = Registry("model family")
FAMILIES.add("llava", "toolkit.vlm.adapters.llava:Llava")
FAMILIES.add("qwen2_5_vl", "toolkit.vlm.adapters.qwen2_5_vl:Qwen2_5_VL")
FAMILIES.add("internvl", "toolkit.vlm.adapters.internvl:InternVL")


def adapter_class(model_type: str) -> type[Adapter]:
    """The adapter of a model type.

    Raises:
        UnknownNameError: No family has it.
    """
    module, name = FAMILIES[model_type].split(":")
    return cast(type[Adapter], getattr(import_module(module), name))
