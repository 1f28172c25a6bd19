"""The registry of families: ``model_type`` of a checkpoint's config.json -> the adapter that knows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from toolkit.registry import PluginError, Registry, import_plugin
from toolkit.vlm.adapters.adapter_base import Adapter

A = TypeVar("A", bound=type[Adapter])

FAMILIES: Registry[str | type[Adapter]] = Registry("model family")
"""An adapter, or where it is found: what ships with the toolkit is imported when a checkpoint needs it."""

FAMILIES.add("llava", "toolkit.vlm.adapters.llava:Llava")
FAMILIES.add("qwen2_5_vl", "toolkit.vlm.adapters.qwen2_5_vl:Qwen2_5_VL")
FAMILIES.add("internvl", "toolkit.vlm.adapters.internvl:InternVL")
FAMILIES.add("gemma3", "toolkit.vlm.adapters.gemma3:Gemma3")
FAMILIES.add("mistral3", "toolkit.vlm.adapters.mistral3:Mistral3")
FAMILIES.add("pixtral", "toolkit.vlm.adapters.mistral3:Pixtral")
FAMILIES.add("idefics3", "toolkit.vlm.adapters.smolvlm:Idefics3")
FAMILIES.add("smolvlm", "toolkit.vlm.adapters.smolvlm:SmolVLM")
FAMILIES.add("llava_onevision", "toolkit.vlm.adapters.llava_onevision:LlavaOnevision")
FAMILIES.add("qwen3_vl", "toolkit.vlm.adapters.qwen3_vl:Qwen3VL")
FAMILIES.add("qwen3_vl_moe", "toolkit.vlm.adapters.qwen3_vl:Qwen3VLMoe")
FAMILIES.add("glm4v", "toolkit.vlm.adapters.glm4v:Glm4v")
FAMILIES.add("glm46v", "toolkit.vlm.adapters.glm4v:Glm46V")

NOT_SCORED = {
    "paligemma": "its whole prompt attends in both directions",
    "mllama": "its image enters by cross-attention and has no tokens in the prompt",
    **dict.fromkeys(("qwen3_5", "qwen3_5_moe"), "its layers of linear attention carry removed words on"),
}
"""Model types that cannot be scored with a shared prefix, and why."""


def family_key(model_type: str, tower_type: str) -> str:
    """The registry's name of a checkpoint: its ``model_type``, but that Pixtral calls itself a LLaVA."""
    return "pixtral" if (model_type, tower_type) == ("llava", "pixtral") else model_type


def why_unknown(model_type: str) -> str:
    """What is said of a model type that no adapter has."""
    reason = NOT_SCORED.get(model_type)
    known = f"the toolkit has adapters for: {', '.join(FAMILIES)}"
    return known if reason is None else f"{reason}, which no shipped adapter scores; {known}"


def adapter_class(model_type: str) -> type[Adapter]:
    """The adapter of a model type.

    Raises:
        UnknownNameError: No family has it.
    """
    found = FAMILIES[model_type]
    return cast(type[Adapter], import_plugin(found)) if isinstance(found, str) else found


def families_of_several() -> list[str]:
    """Names of the families whose samples may have several images."""
    found = [adapter_class(model_type) for model_type in FAMILIES]
    return list(dict.fromkeys(adapter.family for adapter in found if adapter.several_images))


def family(model_type: str) -> Callable[[A], A]:
    """Register an adapter: written above the class, with the ``model_type`` of its checkpoints' ``config.json``.

    Raises:
        PluginError: It decorates something that is no adapter.
        ValueError: The model type is taken.

    Example:
        >>> from toolkit.vlm.adapters.families import FAMILIES, adapter_class, family
        >>> from toolkit.vlm.adapters.llava import Llava
        >>> @family("my-llava")
        ... class MyLlava(Llava):
        ...     pass
        >>> adapter_class("my-llava") is MyLlava
        True
        >>> FAMILIES.remove("my-llava")
    """

    def decorate(adapter: A) -> A:
        if not (isinstance(adapter, type) and issubclass(adapter, Adapter)):
            raise PluginError(f"@family({model_type!r}) is above {adapter!r}; expected a class derived from Adapter")
        FAMILIES.add(model_type, adapter)
        return adapter

    return decorate
