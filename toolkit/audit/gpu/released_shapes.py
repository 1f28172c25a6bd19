"""The released models' real shapes with random weights, which cost the same, behind processors as released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig, Qwen2_5_VLVisionConfig

from toolkit.scenes.training.tiny import INTERNVL_TOKENS, QWEN_TOKENS
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.adapters.internvl import InternVLProcessor
from toolkit.vlm.adapters.qwen2_5_vl import Qwen2_5_VLProcessor
from toolkit.vlm.model import LoadedVLM

_SENTENCES = (
    "is there a red circle in the picture? what color is the blue square next to the lemon? how many green stars are "
    "there in this image? answer with yes or no. answer with the option's letter: A. B. C. D. yes no",
)
_TURNS = (
    "{{% for m in messages %}}<|im_start|>{{{{ m['role'] }}}}\n{{% for c in m['content'] %}}"
    "{{% if c['type'] == 'image' %}}{image}{{% else %}}{{{{ c['text'] }}}}{{% endif %}}{{% endfor %}}<|im_end|>\n"
    "{{% endfor %}}{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
)
_USER = (
    "{% for m in messages %}{{ m['role'].upper() }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
    "{% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


_START = {"start_token": "<|im_start|>"}


@dataclass(frozen=True)
class Shape:
    """One released model's shape.

    Attributes:
        name: The released model.
        model_type: Its family's key.
        config: Configuration from (special token ids, a small shape instead).
        processor: The processor as released, with a small vocabulary.
    """

    name: str
    model_type: str
    config: Callable[[dict[str, int], bool], Any]
    processor: Callable[[bool], Any]


def _tokenizer(special: dict[str, str], *, bos: str | None = None) -> Any:
    """A byte-level tokenizer trained on a few sentences, with a family's special tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        [*_SENTENCES] * 4, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )
    named = {"pad_token": "<pad>", "eos_token": "<|im_end|>"} | ({"bos_token": bos} if bos else {})
    tokenizer_class: Any = hf.PreTrainedTokenizerFast
    return tokenizer_class(tokenizer_object=backend, extra_special_tokens=special, **named)


def _llava_processor(small: bool) -> Any:
    side = 56 if small else 336
    processor_class: Any = hf.LlavaProcessor
    return processor_class(
        hf.CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        _tokenizer({"image_token": "<image>"}, bos="<s>"), patch_size=14, vision_feature_select_strategy="default",
        chat_template=_USER, num_additional_image_tokens=1,
    )  # fmt: skip


def _qwen_processor(small: bool) -> Any:
    size = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * (16 if small else 1280)}
    template = _TURNS.format(image="<|vision_start|><|image_pad|><|vision_end|>")
    tokenizer = _tokenizer({**QWEN_TOKENS, **_START})
    processor_class: Any = Qwen2_5_VLProcessor
    return processor_class(hf.Qwen2VLImageProcessorPil(size=size), tokenizer, chat_template=template)


def _internvl_processor(small: bool) -> Any:
    side = 56 if small else 448
    pixels = hf.GotOcr2ImageProcessorPil(size={"height": side, "width": side}, max_patches=2 if small else 12)
    tokenizer = _tokenizer({**INTERNVL_TOKENS, **_START})
    template = _TURNS.format(image="<IMG_CONTEXT>\n")
    return InternVLProcessor(pixels, tokenizer, image_seq_length=(side // 28) ** 2, chat_template=template)


def _sized(small: bool, **sizes: tuple[Any, Any]) -> dict[str, Any]:
    """Settings, each given as (small, released)."""
    return {name: values[not small] for name, values in sizes.items()}


_TEXT_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
)  # fmt: skip


def _text(ids: dict[str, int], small: bool, *released: int) -> dict[str, Any]:
    """Settings that all text configurations have; the released sizes in the order of ``_TEXT_SIZES``."""
    end, sizes = ids["<|im_end|>"], (700, 64, 96, 2, 4, 2) if small else released
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": ids["<pad>"]}
    return {**dict(zip(_TEXT_SIZES, sizes, strict=True)), "max_position_embeddings": 32768, **special}


def _llava(ids: dict[str, int], small: bool) -> Any:
    vision = _sized(
        small, hidden_size=(32, 1024), intermediate_size=(64, 4096), num_hidden_layers=(2, 24),
        num_attention_heads=(2, 16), image_size=(56, 336),
    )  # fmt: skip
    return hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**vision, patch_size=14),
        text_config=hf.LlamaConfig(**_text(ids, small, 32064, 4096, 11008, 32, 32, 32)),
        image_token_index=ids["<image>"], vision_feature_layer=-2, tie_word_embeddings=False,
    )  # fmt: skip


def _qwen(ids: dict[str, int], small: bool) -> Any:
    vision = _sized(
        small, depth=(2, 32), hidden_size=(32, 1280), intermediate_size=(64, 3420), num_heads=(2, 16),
        out_hidden_size=(64, 2048), fullatt_block_indexes=((1,), (7, 15, 23, 31)),
    )  # fmt: skip
    sections = [2, 3, 3] if small else [16, 24, 24]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections}
    text = _text(ids, small, 151936, 2048, 11008, 36, 16, 2)
    return hf.Qwen2_5_VLConfig(
        vision_config=Qwen2_5_VLVisionConfig(**vision), text_config=Qwen2_5_VLTextConfig(**text, rope_parameters=rope),
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )  # fmt: skip


def _internvl(ids: dict[str, int], small: bool) -> Any:
    side = 56 if small else 448
    vision = _sized(
        small, hidden_size=(32, 1024), num_hidden_layers=(2, 24), num_attention_heads=(2, 16),
        intermediate_size=(64, 4096),
    )  # fmt: skip
    text = _text(ids, small, 151936, 2048, 6144, 28, 16, 8)
    return hf.InternVLConfig(
        vision_config=hf.InternVLVisionConfig(**vision, attention_bias=True, image_size=(side, side)),
        text_config=hf.Qwen3Config(**text, head_dim=16 if small else 128), image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=(side // 28) ** 2, tie_word_embeddings=False,
    )  # fmt: skip


SHAPES: dict[str, Shape] = {
    "llava": Shape("LLaVA-1.5-7B", "llava", _llava, _llava_processor),
    "qwen2.5-vl": Shape("Qwen2.5-VL-3B", "qwen2_5_vl", _qwen, _qwen_processor),
    "internvl": Shape("InternVL3.5-2B", "internvl", _internvl, _internvl_processor),
}


def build(family: str, device: torch.device, dtype: torch.dtype, *, small: bool) -> LoadedVLM:
    """One model of real shape with random weights, on its device.

    Args:
        family: A key of ``SHAPES``.
        device: Where the weights are made.
        dtype: Their precision.
        small: A small shape instead, for tests.

    Raises:
        ValueError: The family is unknown.
    """
    if family not in SHAPES:
        raise ValueError(f"unknown family {family!r}; expected one of {', '.join(SHAPES)}")
    shape = SHAPES[family]
    processor = shape.processor(small)
    config = shape.config(processor.tokenizer.get_vocab(), small)
    adapter_type = adapter_class(shape.model_type)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = getattr(hf, adapter_type.model_class)(config)
    finally:
        torch.set_default_dtype(default)
    model.tie_weights()
    model.train(False).requires_grad_(False)
    return LoadedVLM(shape.name + (" (small)" if small else ""), adapter_type(processor), model)
