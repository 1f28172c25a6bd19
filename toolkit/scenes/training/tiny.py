"""Tiny models of the three architectures: the released classes and processors at a size that a laptop can train.

All three see 96 x 96 pixels as 6 x 6 image tokens, one per cell of the embedded world, and share a word-level
tokenizer. Nothing here is special to them afterwards: ``save_pretrained`` writes the ordinary layout and the adapters
load it like a released checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig, Qwen2_5_VLVisionConfig

from toolkit.vlm.adapters.internvl import InternVLProcessor
from toolkit.vlm.adapters.qwen2_5_vl import Qwen2_5_VLProcessor

IMAGE_SIZE = 96
"""Side in pixels of the picture that enters a tiny model: 6 cells of 16 pixels."""

QWEN_TOKENS = {
    "vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>", "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
}  # fmt: skip
INTERNVL_TOKENS = {
    "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}  # fmt: skip
_COMMON = ("<pad>", "<unk>", "<bos>", "<eos>", "<user>", "<assistant>")
_TEMPLATE = (
    "<bos>{{% for message in messages %}}<{{{{ message['role'] }}}}>{{% for part in message['content'] %}}"
    "{{% if part['type'] == 'image' %}}{image}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}{{% endfor %}}"
    "{{% endfor %}}{{% if add_generation_prompt %}}<assistant>{{% endif %}}"
)


@dataclass(frozen=True)
class _Words:
    """Ids and template of one family's tokenizer."""

    tokenizer: hf.PreTrainedTokenizerFast
    template: str

    def id(self, token: str) -> int:
        return self.tokenizer.get_vocab()[token]

    @property
    def decoder(self) -> dict[str, Any]:
        """Settings that the three text configurations share."""
        return {
            "vocab_size": len(self.tokenizer), "hidden_size": 128, "intermediate_size": 288, "num_hidden_layers": 4,
            "num_attention_heads": 4, "max_position_embeddings": 2048, "initializer_range": 0.08,
            "bos_token_id": self.id("<bos>"), "eos_token_id": self.id("<eos>"), "pad_token_id": self.id("<pad>"),
            "tie_word_embeddings": False,
        }  # fmt: skip


def _words(vocabulary: Sequence[str], special: dict[str, str], image: str) -> _Words:
    """A word-level tokenizer with one family's special tokens; ``image`` is what its template writes for a picture."""
    reserved = (*_COMMON, *special.values())
    entries = dict.fromkeys((*reserved, *(word for word in vocabulary if word not in reserved)))
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(entries)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer_class: Any = hf.PreTrainedTokenizerFast
    tokenizer = tokenizer_class(
        tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>",
        extra_special_tokens={"user_token": "<user>", "assistant_token": "<assistant>", **special},
        model_max_length=2048, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    return _Words(tokenizer, _TEMPLATE.format(image=image))


def _llava(vocabulary: Sequence[str]) -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    words = _words(vocabulary, {"image_token": "<image>"}, "<image>\n")
    vision = hf.CLIPVisionConfig(
        hidden_size=96, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, image_size=IMAGE_SIZE,
        patch_size=16, projection_dim=96,
    )  # fmt: skip
    config = hf.LlavaConfig(
        vision_config=vision, text_config=hf.LlamaConfig(**words.decoder, num_key_value_heads=4),
        image_token_index=words.id("<image>"), image_seq_length=36, vision_feature_layer=-1,
        vision_feature_select_strategy="default", tie_word_embeddings=False,
    )  # fmt: skip
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    processor_class: Any = hf.LlavaProcessor
    processor = processor_class(
        hf.CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=size), words.tokenizer, patch_size=16,
        vision_feature_select_strategy="default", chat_template=words.template, num_additional_image_tokens=1,
    )  # fmt: skip
    return hf.LlavaForConditionalGeneration(config), processor


def _qwen2_5_vl(vocabulary: Sequence[str]) -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    words = _words(vocabulary, QWEN_TOKENS, "<|vision_start|><|image_pad|><|vision_end|>")
    vision = Qwen2_5_VLVisionConfig(
        depth=2, hidden_size=96, intermediate_size=192, num_heads=4, patch_size=8, window_size=48, out_hidden_size=128,
        fullatt_block_indexes=(1,), initializer_range=0.08,
    )  # fmt: skip
    # M-RoPE hands its frequencies out in order: time, height, width. A grid of 6 x 6 spans few positions, so theta is
    # small, and the width, which comes last, begins early enough to tell six columns apart (0.38 radians each); its
    # slow end stays nearly unturned, for looking things up by what they are.
    rope = {"rope_type": "default", "rope_theta": 50.0, "mrope_section": [1, 3, 12]}
    config = hf.Qwen2_5_VLConfig(
        vision_config=vision,
        text_config=Qwen2_5_VLTextConfig(**words.decoder, num_key_value_heads=2, rope_parameters=rope),
        image_token_id=words.id("<|image_pad|>"), video_token_id=words.id("<|video_pad|>"),
        vision_start_token_id=words.id("<|vision_start|>"), vision_end_token_id=words.id("<|vision_end|>"),
        tie_word_embeddings=False,
    )  # fmt: skip
    # Both bounds lie off 96 * 96, so that rounding never turns a square picture into 5 x 5 or 7 x 7 tokens.
    pixels = hf.Qwen2VLImageProcessorPil(size={"shortest_edge": 8192, "longest_edge": 10240}, patch_size=8)
    processor_class: Any = Qwen2_5_VLProcessor
    processor = processor_class(pixels, words.tokenizer, chat_template=words.template)
    return hf.Qwen2_5_VLForConditionalGeneration(config), processor


def _internvl(vocabulary: Sequence[str]) -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    words = _words(vocabulary, INTERNVL_TOKENS, "<IMG_CONTEXT>\n")
    vision = hf.InternVLVisionConfig(
        hidden_size=96, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256,
        image_size=(IMAGE_SIZE, IMAGE_SIZE), patch_size=(8, 8), initializer_range=0.08, layer_scale_init_value=1.0,
    )  # fmt: skip
    config = hf.InternVLConfig(
        vision_config=vision, text_config=hf.Qwen3Config(**words.decoder, num_key_value_heads=2, head_dim=32),
        image_token_id=words.id("<IMG_CONTEXT>"), image_seq_length=36, tie_word_embeddings=False,
    )  # fmt: skip
    model = hf.InternVLForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.vision_tower.embeddings.position_embeddings, std=0.08)
    pixels = hf.GotOcr2ImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, max_patches=1)
    processor = InternVLProcessor(pixels, words.tokenizer, image_seq_length=36, chat_template=words.template)
    return model, processor


_BUILDERS: dict[str, Callable[[Sequence[str]], tuple[hf.PreTrainedModel, hf.ProcessorMixin]]] = {
    "llava": _llava,
    "qwen2.5-vl": _qwen2_5_vl,
    "internvl": _internvl,
}
FAMILIES = tuple(_BUILDERS)


def build_tiny(family: str, vocabulary: Sequence[str], *, seed: int) -> tuple[hf.PreTrainedModel, hf.ProcessorMixin]:
    """A randomly initialised tiny model and its real processor.

    Args:
        family: ``"llava"``, ``"qwen2.5-vl"`` or ``"internvl"``.
        vocabulary: The words that the tokenizer knows; special tokens are added.
        seed: Seed of the initial weights; the global random state is left as it was.

    Returns:
        The model (float32, in evaluation mode) and its processor, both of the released classes.

    Raises:
        ValueError: The family is unknown.
    """
    if family not in _BUILDERS:
        raise ValueError(f"unknown family {family!r}; expected one of {', '.join(FAMILIES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, processor = _BUILDERS[family](vocabulary)
    model.train(False)
    return model, processor
