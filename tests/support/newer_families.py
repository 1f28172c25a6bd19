"""Families beyond the paper's three: processors as their released checkpoints have them, and small random models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as hf
from support.tokenizer import TURNS, bpe

from toolkit.vlm.adapters.glm4v import Glm4vProcessor, Glm46VProcessor
from toolkit.vlm.adapters.llava_onevision import LlavaOnevisionProcessor
from toolkit.vlm.adapters.mistral3 import PixtralProcessor
from toolkit.vlm.adapters.qwen3_vl import Qwen3VLProcessor
from toolkit.vlm.adapters.smolvlm import SmolVLMProcessor

QWEN_TOKENS = {
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "start_token": "<|im_start|>",
}


def _qwen3_vl_processor(tokenizer: Any = None) -> Any:
    half = [0.5, 0.5, 0.5]
    images = hf.Qwen2VLImageProcessorPil(
        size={"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096}, patch_size=16, image_mean=half, image_std=half
    )
    template = TURNS.format(image="<|vision_start|><|image_pad|><|vision_end|>")
    return Qwen3VLProcessor(images, tokenizer or bpe(QWEN_TOKENS), chat_template=template)


def _qwen3_vl(processor: Any, text: dict[str, Any], vision_layers: int, kind: str = "", **more: Any) -> Any:
    images = processor.image_processor.to_dict() | {"size": {"shortest_edge": 64 * 64, "longest_edge": 32 * 32 * 80}}
    processor.image_processor = hf.Qwen2VLImageProcessorPil.from_dict(images)
    tokens = processor.tokenizer.get_vocab()
    config = getattr(hf, f"Qwen3VL{kind}Config")(
        vision_config={
            "depth": 3 * vision_layers, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2,
            "out_hidden_size": 48, "num_position_embeddings": 64, "initializer_range": 0.2,
            "deepstack_visual_indexes": [0, 1] if vision_layers else [],
        },
        text_config={
            **text, "num_hidden_layers": 3, "num_key_value_heads": 2, "head_dim": 12, **more,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 2, 2]},
        },
        image_token_id=tokens["<|image_pad|>"],
        video_token_id=tokens["<|video_pad|>"],
        vision_start_token_id=tokens["<|vision_start|>"],
        vision_end_token_id=tokens["<|vision_end|>"],
    )  # fmt: skip
    return getattr(hf, f"Qwen3VL{kind}ForConditionalGeneration")(config)


def _qwen3_vl_moe(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    """Two of six experts for each token."""
    experts = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    return _qwen3_vl(processor, text, vision_layers, "Moe", **experts)


def _glm4v_processor(tokenizer: Any = None, kind: Any = Glm4vProcessor, images: Any = None) -> Any:
    tokens = {name: f"<|{name}|>" for name in ("image", "video", "user", "assistant")}
    tokens |= {f"{end}_{of}": f"<|{end}_of_{of}|>" for end in ("begin", "end") for of in ("image", "video")}
    special = {f"{name}_token": token for name, token in tokens.items()} | {
        "mask_token": "[gMASK]",
        "sop_token": "<sop>",
    }
    template = (
        "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ c['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    return kind((images or hf.Glm4vImageProcessorPil)(), tokenizer or bpe(special), chat_template=template)


def _glm46v_processor(tokenizer: Any = None) -> Any:
    return _glm4v_processor(tokenizer, Glm46VProcessor, hf.Glm46VImageProcessorPil)


def _glm4v(processor: Any, text: dict[str, Any], vision_layers: int, config: str = "Glm4vConfig") -> Any:
    images = processor.image_processor.to_dict() | {
        "size": {"shortest_edge": 2 * 56 * 56, "longest_edge": 2 * 28 * 28 * 80}
    }
    processor.image_processor = type(processor.image_processor).from_dict(images)
    tokens = processor.tokenizer.get_vocab()
    settings = getattr(hf, config)(
        vision_config={
            "model_type": "glm4v_vision", "depth": vision_layers, "hidden_size": 32, "intermediate_size": 32,
            "num_heads": 2, "out_hidden_size": 48, "image_size": 112, "patch_size": 14, "initializer_range": 0.2,
        },
        text_config={
            **text, "model_type": "glm4v_text", "num_key_value_heads": 2, "head_dim": 12,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 1],
            },
        },
        **{f"{of}_{what}_token_id": tokens[f"<|{end}_of_{of}|>"] for of in ("image", "video")
           for what, end in (("start", "begin"), ("end", "end"))},
        image_token_id=tokens["<|image|>"],
        video_token_id=tokens["<|video|>"],
    )  # fmt: skip
    return getattr(hf, config.replace("Config", "ForConditionalGeneration"))(settings)


def _glm46v(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    return _glm4v(processor, text, vision_layers, "Glm46VConfig")


def _llava_onevision_processor(tokenizer: Any = None) -> Any:
    images = hf.LlavaOnevisionImageProcessorPil()
    words = tokenizer or bpe({"image_token": "<image>", "video_token": "<video>", "start_token": "<|im_start|>"})
    template = TURNS.format(image="<image>\n")
    return LlavaOnevisionProcessor(
        images, words, num_image_tokens=729, vision_feature_select_strategy="full", chat_template=template
    )


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


def _tiled_processor(kind: Any, images: Any, tokenizer: Any) -> Any:
    named = {f"tile_{r}_{c}": f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)}
    special = named | {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "end_of_utterance_token": "<end_of_utterance>",
        "global": "<global-img>",
        "start_token": "<|im_start|>",
    }
    template = (
        "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}:{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n"
        "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    return kind(images, tokenizer or bpe(special), image_seq_len=64, chat_template=template)


def _idefics3_processor(tokenizer: Any = None) -> Any:
    return _tiled_processor(hf.Idefics3Processor, _tiles(hf.Idefics3ImageProcessorPil), tokenizer)


def _smolvlm_processor(tokenizer: Any = None) -> Any:
    return _tiled_processor(SmolVLMProcessor, _tiles(hf.SmolVLMImageProcessorPil), tokenizer)


def _tiles(kind: Any) -> Any:
    try:
        return kind(size={"longest_edge": 4 * 512}, max_image_size={"longest_edge": 512})
    except ImportError:
        pytest.skip(f"transformers {hf.__version__} asks for torchvision where PIL would do")


def _tiled_settings(processor: Any, text: dict[str, Any], vision_layers: int) -> dict[str, Any]:
    """Tiles of 64 pixels with 2 x 2 tokens each, at most four along a side."""
    settings = processor.image_processor.to_dict()
    settings |= {"size": {"longest_edge": 256}, "max_image_size": {"longest_edge": 64}}
    processor.image_processor = type(processor.image_processor).from_dict(settings)
    processor.image_seq_len = 4
    vision = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": vision_layers, "num_attention_heads": 2,
        "image_size": 64, "patch_size": 16, "initializer_range": 0.2,
    }  # fmt: skip
    return {
        "text_config": hf.LlamaConfig(**text, num_key_value_heads=2), "vision_config": vision, "scale_factor": 2,
        "image_token_id": processor.image_token_id, "pad_token_id": text["pad_token_id"], "tie_word_embeddings": False,
    }  # fmt: skip


def _idefics3(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    settings = _tiled_settings(processor, text, vision_layers)
    return hf.Idefics3ForConditionalGeneration(hf.Idefics3Config(**settings))


def _smolvlm(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    settings = _tiled_settings(processor, text, vision_layers)
    return hf.SmolVLMForConditionalGeneration(hf.SmolVLMConfig(**settings))


def _gemma3_processor(tokenizer: Any = None) -> Any:
    special = {
        "image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
        "start_token": "<start_of_turn>", "end_token": "<end_of_turn>",
    }  # fmt: skip
    half = [0.5, 0.5, 0.5]
    images = hf.Gemma3ImageProcessorPil(size={"height": 896, "width": 896}, image_mean=half, image_std=half)
    template = (
        "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<start_of_image>{% else %}{{ c['text'] | trim }}{% endif %}{% endfor %}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    )
    return hf.Gemma3Processor(images, tokenizer or bpe(special, bos="<bos>"), template)


def _gemma3(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    """Views of 112 pixels with 4 x 4 tokens; the first layer's window ends within the image."""
    processor.image_processor.size = hf.image_utils.SizeDict(height=112, width=112)
    words, processor.image_seq_length = processor.tokenizer, 16
    processor.full_image_sequence = f"\n\n{words.boi_token}{words.image_token * 16}{words.eoi_token}\n\n"
    config = hf.Gemma3Config(
        text_config=hf.Gemma3TextConfig(
            **text | {"num_hidden_layers": 3}, num_key_value_heads=2, head_dim=12, sliding_window=12,
            query_pre_attn_scalar=12,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        vision_config=hf.SiglipVisionConfig(
            hidden_size=32, intermediate_size=32, num_hidden_layers=vision_layers, num_attention_heads=2,
            image_size=112, patch_size=14, vision_use_head=False,
        ),
        mm_tokens_per_image=16,
        image_token_index=words.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=words.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=words.convert_tokens_to_ids("<end_of_image>"),
    )  # fmt: skip
    model = hf.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.5)
    return model


def _mistral3_processor(tokenizer: Any = None, patch: int = 14, merge: int = 2) -> Any:
    special = {"image": "[IMG]", "row": "[IMG_BREAK]", "end": "[IMG_END]", "ask": "[INST]", "asked": "[/INST]"}
    images = hf.PixtralImageProcessorPil(size={"longest_edge": 1540}, patch_size={"height": patch, "width": patch})
    template = (
        "{{ bos_token }}{% for m in messages %}[INST]{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}[IMG]{% else %}{{ c['text'] }}{% endif %}{% endfor %}[/INST]{% endfor %}"
    )
    words = tokenizer or bpe(special, bos="<s>")
    return PixtralProcessor(images, words, patch_size=patch, spatial_merge_size=merge, chat_template=template)


def _pixtral_processor(tokenizer: Any = None) -> Any:
    return _mistral3_processor(tokenizer, patch=16, merge=1)


def _with_pixtrals_tower(
    processor: Any, text: dict[str, Any], vision_layers: int, *, longest: int, side: int, patch: int
) -> dict[str, Any]:
    """What both families have in their configuration; the processor is bounded to images of this longest edge."""
    settings = processor.image_processor.to_dict() | {"size": {"longest_edge": longest}}
    processor.image_processor = hf.PixtralImageProcessorPil.from_dict(settings)
    return {
        "text_config": hf.MistralConfig(**text, num_key_value_heads=2, head_dim=12, sliding_window=None),
        "vision_config": hf.PixtralVisionConfig(
            hidden_size=32, intermediate_size=32, num_hidden_layers=max(1, vision_layers), num_attention_heads=2,
            head_dim=16, image_size=side, patch_size=patch, initializer_range=0.2,
        ),
        "vision_feature_layer": -1 if vision_layers else -2,
        "image_token_index": processor.image_token_id,
        "tie_word_embeddings": False,
    }  # fmt: skip


def _pixtral(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    shared = _with_pixtrals_tower(processor, text, vision_layers, longest=160, side=1024, patch=16)
    config = hf.LlavaConfig(**shared, vision_feature_select_strategy="full")
    return hf.LlavaForConditionalGeneration(config)


def _mistral3(processor: Any, text: dict[str, Any], vision_layers: int) -> Any:
    shared = _with_pixtrals_tower(processor, text, vision_layers, longest=280, side=1540, patch=14)
    return hf.Mistral3ForConditionalGeneration(hf.Mistral3Config(**shared))


NEWER = {
    "qwen3-vl": "qwen3_vl", "llava-onevision": "llava_onevision", "idefics3": "idefics3", "smolvlm": "smolvlm",
    "gemma3": "gemma3", "mistral3": "mistral3", "pixtral": "pixtral", "glm4.1v": "glm4v", "glm4.6v": "glm46v",
    "qwen3-vl-moe": "qwen3_vl_moe",
}  # fmt: skip
"""Family -> its name in the registry."""


PROCESSORS = {
    "qwen3-vl": _qwen3_vl_processor, "llava-onevision": _llava_onevision_processor, "idefics3": _idefics3_processor,
    "smolvlm": _smolvlm_processor, "gemma3": _gemma3_processor, "mistral3": _mistral3_processor,
    "pixtral": _pixtral_processor, "glm4.1v": _glm4v_processor,
    "glm4.6v": _glm46v_processor, "qwen3-vl-moe": _qwen3_vl_processor,
}  # fmt: skip
"""Family -> processor behind a given tokenizer, or a small one."""

MODELS = {
    "qwen3-vl": _qwen3_vl, "llava-onevision": _llava_onevision, "idefics3": _idefics3, "smolvlm": _smolvlm,
    "gemma3": _gemma3, "mistral3": _mistral3, "pixtral": _pixtral, "glm4.1v": _glm4v,
    "glm4.6v": _glm46v, "qwen3-vl-moe": _qwen3_vl_moe,
}  # fmt: skip
"""Family -> small random model behind such a processor, of the settings that all decoders share."""
