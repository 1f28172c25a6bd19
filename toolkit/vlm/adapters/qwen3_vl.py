"""Qwen3-VL: Qwen2.5-VL's dynamic grid, whole-image attention, and features of several tower layers (DeepStack)."""

from __future__ import annotations

from typing import Any

import transformers

from toolkit.vlm.adapters.adapter_base import WithoutVideo
from toolkit.vlm.adapters.qwen2_5_vl import Qwen2_5_VL


class Qwen3VLProcessor(WithoutVideo, transformers.Qwen3VLProcessor):
    """The released processor for images only."""


class Qwen3VL(Qwen2_5_VL):
    """Adapter of ``Qwen3VLForConditionalGeneration``; one player per merged 2 x 2 block of patches.

    DeepStack (Meng et al. 2024, arXiv 2406.04334): every image token brings a vector for each of the first decoder
    layers, from deeper and deeper in the tower, which is added to its hidden state behind that layer.
    """

    family = "qwen3-vl"
    model_type = "qwen3_vl"
    model_class = "Qwen3VLForConditionalGeneration"
    processor_class = Qwen3VLProcessor

    def n_layer_features(self, config: Any) -> int:
        """As many as the tower has layers that are read."""
        return len(config.vision_config.deepstack_visual_indexes)


class Qwen3VLMoe(Qwen3VL):
    """Adapter of ``Qwen3VLMoeForConditionalGeneration``: the same model with experts in place of its MLPs."""

    family = "qwen3-vl-moe"
    model_type = "qwen3_vl_moe"
    model_class = "Qwen3VLMoeForConditionalGeneration"
