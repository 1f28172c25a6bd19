"""The further family, exactly as CONTRIBUTING.md prints it, and a small random model of its real class."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
import transformers as hf
from support.newer_families import QWEN_TOKENS
from support.tokenizer import TURNS, bpe

from toolkit.vlm.adapters.adapter_base import Adapter

DOCUMENT = Path(__file__).parents[2] / "CONTRIBUTING.md"
MODULE = "toolkit.vlm.adapters.qwen2_vl"


@cache
def blocks() -> tuple[str, str]:
    """The adapter's file and the registry's line, out of the document."""
    found = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    (file,) = [block for block in found if block.startswith("# toolkit/vlm/adapters/qwen2_vl.py\n")]
    (line,) = [block for block in found if block.startswith("FAMILIES.add(")]
    return file, line


@cache
def adapter() -> type[Adapter]:
    """The printed class, in a module of the name that the document gives it."""
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(blocks()[0], str(DOCUMENT), "exec"), vars(module))
    found: type[Adapter] = vars(module)["Qwen2VL"]
    return found


def small() -> tuple[hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLProcessor]:
    """A small random model of the real class, whose upper layer sees the last eight tokens, and its processor."""
    images = hf.Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 80})
    template = TURNS.format(image="<|vision_start|><|image_pad|><|vision_end|>")
    words = adapter().processor_class(images, bpe(QWEN_TOKENS), chat_template=template)  # type: ignore[attr-defined]
    tokens = words.tokenizer.get_vocab()
    config = hf.Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokens), "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
            "initializer_range": 0.2, "eos_token_id": tokens["<|im_end|>"], "pad_token_id": tokens["<pad>"],
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 2, 2]},
            "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1,
        },
        vision_config={
            "depth": 2, "embed_dim": 32, "hidden_size": 48, "num_heads": 2, "mlp_ratio": 1, "initializer_range": 0.2,
        },
        image_token_id=tokens["<|image_pad|>"],
        video_token_id=tokens["<|video_pad|>"],
        vision_start_token_id=tokens["<|vision_start|>"],
        vision_end_token_id=tokens["<|vision_end|>"],
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = hf.Qwen2VLForConditionalGeneration(config)
    return model.train(False), words
