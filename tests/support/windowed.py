"""Small random models whose decoders see the last few tokens only, in some of their layers or in all."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from support.subjects import MODEL_TYPE, WORDS
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig

from toolkit.scenes.training.tiny import build_tiny
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.model import LoadedVLM

_ALTERNATING = ("sliding_attention", "full_attention") * 2
_ROPE = {"rope_type": "default", "rope_theta": 50.0, "mrope_section": [1, 3, 12]}

DECODERS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "qwen2.5-vl all layers": (
        "qwen2.5-vl",
        Qwen2_5_VLTextConfig,
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0, "rope_parameters": _ROPE},
    ),
    "qwen2.5-vl upper layers": (
        "qwen2.5-vl",
        Qwen2_5_VLTextConfig,
        {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 2, "rope_parameters": _ROPE},
    ),
    "internvl qwen3": (
        "internvl",
        hf.Qwen3Config,
        {"use_sliding_window": True, "sliding_window": 7, "layer_types": list(_ALTERNATING), "head_dim": 32},
    ),
    "internvl qwen2": (
        "internvl",
        hf.Qwen2Config,
        {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
    ),
    "llava qwen2": (
        "llava",
        hf.Qwen2Config,
        {"use_sliding_window": True, "sliding_window": 5, "layer_types": list(_ALTERNATING)},
    ),
    "llava mistral": ("llava", hf.MistralConfig, {"sliding_window": 6}),
    "llava phi3": ("llava", hf.Phi3Config, {"sliding_window": 6}),
    "llava gemma2": ("llava", hf.Gemma2Config, {"sliding_window": 6, "head_dim": 32}),
}
"""Family, class of the text configuration, and what is set in it; every prompt has about 50 tokens, 36 of them image.

Llama ignores a window in its configuration, and is tested apart.
"""


def with_text(family: str, text_class: Any, **settings: Any) -> LoadedVLM:
    """A tiny model of a family with another decoder behind its vision tower."""
    model, processor = build_tiny(family, WORDS, seed=3)
    config: Any = model.config
    shared = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "initializer_range", "bos_token_id", "eos_token_id",
        "pad_token_id", "tie_word_embeddings",
    )  # fmt: skip
    text = text_class(**{name: getattr(config.text_config, name) for name in shared}, **settings)
    config.text_config = text
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        changed = type(model)(config)
    if family == "internvl":
        torch.nn.init.normal_(changed.model.vision_tower.embeddings.position_embeddings, std=0.08)
    return LoadedVLM(
        f"{family} with {text_class.__name__}", adapter_class(MODEL_TYPE[family])(processor), changed.eval()
    )


def windowed(name: str) -> LoadedVLM:
    """One of ``DECODERS``."""
    family, text_class, settings = DECODERS[name]
    return with_text(family, text_class, **settings)
