"""Models under test: the tiny ones, and small random ones with the processors of released models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import transformers as hf
from PIL import Image
from support import fourth
from support.newer_families import MODELS, NEWER, PROCESSORS, QWEN_TOKENS
from support.released_tokenizers import PAPER, released_tokenizer
from support.tokenizer import TURNS, USER, bpe
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig, Qwen2_5_VLVisionConfig

from toolkit.datasets.sample import Sample
from toolkit.paths import models_dir
from toolkit.scenes.training.tiny import build_tiny
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.adapters.internvl import InternVLProcessor
from toolkit.vlm.adapters.qwen2_5_vl import Qwen2_5_VLProcessor
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.model import LoadedVLM

WORDS = (
    "is",
    "there",
    "a",
    "red",
    "blue",
    "circle",
    "square",
    "?",
    "answer",
    "yes",
    "or",
    "no",
    "what",
    "the",
    "A",
    "B",
)
TINY = ("llava", "qwen2.5-vl", "internvl")
"""Families of the embedded checkpoints."""

MODEL_TYPE = {"llava": "llava", "qwen2.5-vl": "qwen2_5_vl", "internvl": "internvl"} | NEWER
RANDOM_TINY = tuple(f"random-tiny-{family}" for family in TINY)
RELEASED = (*(f"released-{family}" for family in MODEL_TYPE), "released-llava siglip")
TRAINED = tuple(
    f"tiny-{family}-{twin}"
    for family in TINY
    for twin in ("grounded", "biased")
    if (models_dir() / f"tiny-{family}-{twin}" / "model.safetensors").is_file()
)
FOURTH = "printed-qwen2-vl"
"""The family that CONTRIBUTING.md adds, by the code that it prints."""

BEHIND = tuple(f"behind-{family}" for family in PAPER)
"""Small random models behind the released tokenizers, which are fetched: for slow tests."""

SUBJECTS = (*RANDOM_TINY, *RELEASED, *TRAINED, FOURTH)
"""Every embedded checkpoint that is there, and the random ones."""

SIZES = {"square": (480, 480), "portrait": (480, 640), "landscape": (640, 480), "panorama": (1000, 100)}
"""Width and height of the pictures."""


def picture(size: tuple[int, int] = (120, 120), seed: int = 0) -> Image.Image:
    """A smooth picture with structure at every place."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BILINEAR)


def sample(seed: int = 0, size: tuple[int, int] = (120, 120), question: str = "is there a red circle ?") -> Sample:
    return Sample(f"s{seed}", picture(size, seed), question, "answer yes or no", ("yes", "no"))


def make_subject(name: str) -> LoadedVLM:
    """One subject by name."""
    if name.startswith("random-tiny-"):
        family = name.removeprefix("random-tiny-")
        model, processor = build_tiny(family, WORDS, seed=3)
    elif name == FOURTH:
        model, processor = fourth.small()
        return LoadedVLM(name, fourth.adapter()(processor), model)
    elif name in BEHIND:
        family = name.removeprefix("behind-")
        model, processor = released(family, tokenizer=released_tokenizer(family))
    elif name.startswith("released-"):
        family, _, tower = name.removeprefix("released-").partition(" ")
        model, processor = released(family, tower=tower or "clip")
    else:
        return load_vlm(name, device="cpu")
    return LoadedVLM(name, adapter_class(MODEL_TYPE[family])(processor), model)


def processor_of(family: str, tokenizer=None):
    """A processor as the released checkpoint of this family has it, with a small vocabulary or a given tokenizer."""
    if family in NEWER:
        return PROCESSORS[family](tokenizer)
    if family == "llava":
        images = hf.CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
        words = tokenizer or bpe({"image_token": "<image>"}, bos="<s>")
        return hf.LlavaProcessor(
            images,
            words,
            patch_size=14,
            vision_feature_select_strategy="default",
            chat_template=USER,
            num_additional_image_tokens=1,
        )
    if family == "qwen2.5-vl":
        images = hf.Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280})
        template = TURNS.format(image="<|vision_start|><|image_pad|><|vision_end|>")
        return Qwen2_5_VLProcessor(images, tokenizer or bpe(QWEN_TOKENS), chat_template=template)
    special = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
        "start_token": "<|im_start|>",
    }
    images = hf.GotOcr2ImageProcessorPil(size={"height": 448, "width": 448}, max_patches=12)
    return InternVLProcessor(
        images, tokenizer or bpe(special), image_seq_length=256, chat_template=TURNS.format(image="<IMG_CONTEXT>\n")
    )


def released(family: str, *, vision_layers: int = 1, tokenizer=None, tower: str = "clip"):
    """A small random model of the released class behind the released processor, and that processor.

    LLaVA may have a SigLIP tower, which has no class token and whose every token is a patch.

    Qwen's grids are bounded and InternVL's tiles are 112 pixels wide, so that a picture is a few hundred tokens.
    """
    processor = processor_of(family, tokenizer)
    tokens = processor.tokenizer.get_vocab()
    text = {
        "vocab_size": len(tokens),
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 4096,
        "initializer_range": 0.2,
        "eos_token_id": processor.tokenizer.eos_token_id,
        "pad_token_id": processor.tokenizer.pad_token_id,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        if family in NEWER:
            model = MODELS[family](processor, text, vision_layers)
        elif family == "llava":
            if tower == "siglip":
                processor.image_processor = hf.SiglipImageProcessorPil(size={"height": 336, "width": 336})
                processor.vision_feature_select_strategy, processor.num_additional_image_tokens = "full", 0
            kind = {"clip": hf.CLIPVisionConfig, "siglip": hf.SiglipVisionConfig}[tower]
            config = hf.LlavaConfig(
                vision_config=kind(
                    hidden_size=32,
                    intermediate_size=32,
                    num_hidden_layers=vision_layers + 1,
                    num_attention_heads=2,
                    image_size=336,
                    patch_size=14,
                ),
                vision_feature_select_strategy=processor.vision_feature_select_strategy,
                text_config=hf.LlamaConfig(**text, num_key_value_heads=4),
                image_token_index=tokens["<image>"],
                vision_feature_layer=-2,
                tie_word_embeddings=False,
            )
            model = hf.LlavaForConditionalGeneration(config)
        elif family == "qwen2.5-vl":
            images = processor.image_processor.to_dict() | {
                "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 80}
            }
            processor.image_processor = hf.Qwen2VLImageProcessorPil.from_dict(images)
            config = hf.Qwen2_5_VLConfig(
                vision_config=Qwen2_5_VLVisionConfig(
                    depth=2 * vision_layers,
                    hidden_size=32,
                    intermediate_size=32,
                    num_heads=2,
                    out_hidden_size=48,
                    fullatt_block_indexes=(1,),
                    initializer_range=0.2,
                ),
                text_config=Qwen2_5_VLTextConfig(
                    **text,
                    num_key_value_heads=2,
                    rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 2, 2]},
                ),
                image_token_id=tokens["<|image_pad|>"],
                video_token_id=tokens["<|video_pad|>"],
                vision_start_token_id=tokens["<|vision_start|>"],
                vision_end_token_id=tokens["<|vision_end|>"],
            )
            model = hf.Qwen2_5_VLForConditionalGeneration(config)
        else:
            processor.image_seq_length = 16
            processor.image_processor.size = hf.image_utils.SizeDict(height=112, width=112)
            config = hf.InternVLConfig(
                vision_config=hf.InternVLVisionConfig(
                    hidden_size=32,
                    num_hidden_layers=vision_layers,
                    num_attention_heads=2,
                    intermediate_size=32,
                    image_size=(112, 112),
                    initializer_range=0.2,
                ),
                text_config=hf.Qwen3Config(**text, num_key_value_heads=2, head_dim=12),
                image_token_id=tokens["<IMG_CONTEXT>"],
                image_seq_length=16,
                tie_word_embeddings=False,
            )
            model = hf.InternVLForConditionalGeneration(config)
            torch.nn.init.normal_(model.model.vision_tower.embeddings.position_embeddings)
    return model.train(False), processor


@contextmanager
def at_once(vlm: LoadedVLM, tokens: int) -> Iterator[None]:
    """Within it the engine runs so many tokens at a time."""
    before, vlm.engine.tokens.size = vlm.engine.tokens.size, tokens
    try:
        yield
    finally:
        vlm.engine.tokens.size = before
