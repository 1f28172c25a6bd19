"""Families beyond the paper's three: processors as their released checkpoints have them, and small random models."""

from __future__ import annotations

from typing import Any

import transformers as hf
from support.tokenizer import TURNS, bpe
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig, Qwen3VLVisionConfig

from toolkit.vlm.adapters.llava_onevision import LlavaOnevisionProcessor
from toolkit.vlm.adapters.qwen3_vl import Qwen3VLProcessor


def _qwen3_vl_processor(tokenizer: Any = None) -> Any:
    special = {
        "vision_start_token": "<|vision_start|>",
        "vision_end_token": "<|vision_end|>",
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "start_token": "<|im_start|>",
    }
    half = [0.5, 0.5, 0.5]
    images = hf.Qwen2VLImageProcessorPil(
        size={"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096}, patch_size=16, image_mean=half, image_std=half
    )
    template = TURNS.format(image="<|vision_start|><|image_pad|><|vision_end|>")
    return Qwen3VLProcessor(images, tokenizer or bpe(special), chat_template=template)


def _qwen3_vl(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    images = processor.image_processor.to_dict() | {"size": {"shortest_edge": 64 * 64, "longest_edge": 32 * 32 * 80}}
    processor.image_processor = hf.Qwen2VLImageProcessorPil.from_dict(images)
    tokens = processor.tokenizer.get_vocab()
    config = hf.Qwen3VLConfig(
        vision_config=Qwen3VLVisionConfig(
            depth=3 * vision_layers,
            hidden_size=32,
            intermediate_size=32,
            num_heads=2,
            out_hidden_size=48,
            num_position_embeddings=64,
            deepstack_visual_indexes=(0, 1) if vision_layers else (),
            initializer_range=0.2,
        ),
        text_config=Qwen3VLTextConfig(
            **text | {"num_hidden_layers": 3},
            num_key_value_heads=2,
            head_dim=12,
            rope_parameters={"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 2, 2]},
        ),
        image_token_id=tokens["<|image_pad|>"],
        video_token_id=tokens["<|video_pad|>"],
        vision_start_token_id=tokens["<|vision_start|>"],
        vision_end_token_id=tokens["<|vision_end|>"],
    )
    return hf.Qwen3VLForConditionalGeneration(config)


def _llava_onevision_processor(tokenizer: Any = None) -> Any:
    images = hf.LlavaOnevisionImageProcessorPil()
    words = tokenizer or bpe({"image_token": "<image>", "video_token": "<video>", "start_token": "<|im_start|>"})
    template = TURNS.format(image="<image>\n")
    return LlavaOnevisionProcessor(images, words, 729, "full", template)


def _llava_onevision(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    """Tiles of 58 pixels, which four patches of 14 do not fill, and at most three along a side."""
    sizes = [[58 * r, 58 * c] for r in (1, 2, 3) for c in (1, 2, 3)]
    settings = processor.image_processor.to_dict()
    settings |= {"size": {"height": 58, "width": 58}, "image_grid_pinpoints": sizes}
    processor.image_processor = hf.LlavaOnevisionImageProcessorPil.from_dict(settings)
    processor.num_image_tokens = 16
    tokens = processor.tokenizer.get_vocab()
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(
            hidden_size=32, intermediate_size=32, num_hidden_layers=max(1, vision_layers), num_attention_heads=2,
            image_size=58, patch_size=14, vision_use_head=False,
        ),
        vision_feature_layer=-1 if vision_layers else -2,
        text_config=hf.Qwen2Config(**text, num_key_value_heads=2),
        image_token_index=tokens["<image>"],
        video_token_index=tokens["<video>"],
        image_grid_pinpoints=sizes,
    )  # fmt: skip
    return hf.LlavaOnevisionForConditionalGeneration(config)


NEWER = {"qwen3-vl": "qwen3_vl", "llava-onevision": "llava_onevision"}
"""Family -> model type."""

PROCESSORS = {"qwen3-vl": _qwen3_vl_processor, "llava-onevision": _llava_onevision_processor}
"""Family -> processor behind a given tokenizer, or a small one."""

MODELS = {"qwen3-vl": _qwen3_vl, "llava-onevision": _llava_onevision}
"""Family -> small random model behind such a processor, of the settings that all decoders share."""
