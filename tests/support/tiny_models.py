"""Randomly initialised models of the three families, loaded as every model is; their attention is not flat."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from toolkit.datasets.sample import Sample
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.cam import layer_index
from toolkit.explainers.internals.scope import attention_modules, hooks
from toolkit.scenes.training.tiny import FAMILIES, build_tiny
from toolkit.scenes.vocabulary import VOCABULARY
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.white_box import SampleWhiteBox

WORDS = ("is", "there", "a", "red", "circle", "?", "answer", "yes", "or", "no")
__all__ = [
    "FAMILIES", "box_of", "eager_attention", "sharp_vlm", "slope_along_activation", "tiny_sample", "tiny_vlm",
    "untrained_vlm",
]  # fmt: skip


def tiny_sample(seed: int = 0, question: str = "is there a red circle ?") -> Sample:
    picture = np.random.default_rng(seed).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    return Sample(f"tiny-{seed}", Image.fromarray(picture), question, choices=("yes", "no"))


def sharp_vlm(family: str, seed: int = 0, change: Callable[[str, nn.Parameter], None] | None = None) -> LoadedVLM:
    """A new model with sharpened attention, for an untrained one's is nearly flat; ``change`` gets each parameter."""
    model, processor = build_tiny(family, WORDS, seed=seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and re.search(r"(q_proj|k_proj|qkv)", name):
                parameter.mul_(2)
            if change is not None:
                change(name, parameter)
    return LoadedVLM(family, adapter_class(model.config.model_type)(processor), model)


tiny_vlm = cache(sharp_vlm)
"""The model that the tests share."""


@cache
def untrained_vlm(family: str = "llava") -> LoadedVLM:
    """A random model that knows the words of the scenes; shared, so leave it as it is."""
    model, processor = build_tiny(family, VOCABULARY, seed=0)
    model.requires_grad_(False)
    return LoadedVLM(f"random {family}", adapter_class(model.config.model_type)(processor), model)


def box_of(family: str) -> SampleWhiteBox:
    return tiny_vlm(family).white_box(tiny_sample(), target="yes")


def eager_attention(vlm: LoadedVLM, box: SampleWhiteBox) -> dict[str, list[torch.Tensor]]:
    """Weights that the model itself returns with eager attention, by module name, and its logit; differentiable."""
    vlm.model.set_attn_implementation("eager")
    seen: dict[str, list[torch.Tensor]] = {}
    softmax = torch.nn.functional.softmax
    current: list[str] = []
    try:
        with hooks([]) as handles, pytest.MonkeyPatch.context() as patch:
            for name, module in attention_modules(vlm.model).items():
                handles.append(module.register_forward_pre_hook(lambda *_, name=name: current.append(name)))

            def spy(*args, **kwargs):
                out = softmax(*args, **kwargs)
                seen.setdefault(current[-1], []).append(out)
                return out

            patch.setattr(torch.nn.functional, "softmax", spy)
            logit = box.logit(box.pixels.clone().requires_grad_(True), box.question)
    finally:
        vlm.model.set_attn_implementation("sdpa")
    return {"logit": [logit], **seen}


def slope_along_activation(box: SampleWhiteBox, depth: float, player: int) -> float:
    """d/de logit(A + e * A_p at every player) / n_players, by a finite difference that uses no gradient."""
    layers = anatomy(box.model).decoder_layers
    norm = layers[layer_index(len(layers), depth)].post_attention_layernorm
    where = torch.cat([box.image_positions, box.text_positions])
    seen: list[torch.Tensor] = []
    values = []
    with torch.no_grad():
        with hooks([norm.register_forward_hook(lambda m, a, out: seen.append(out))]):
            box.logit(box.pixels, box.question)
        direction = torch.zeros_like(seen[0])
        direction[0, where] = seen[0][0, where[player]]
        for step in (1e-2, -1e-2):
            with hooks([norm.register_forward_hook(lambda m, a, out, step=step: out + step * direction)]):
                values.append(float(box.logit(box.pixels, box.question)))
    return (values[0] - values[1]) / 2e-2 / len(where)
