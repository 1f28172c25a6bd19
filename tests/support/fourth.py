"""The fourth family, exactly as CONTRIBUTING.md prints it, and a small random model of its real class."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import torch
import transformers as hf
from support.tokenizer import bpe

from toolkit.vlm.adapters.adapter_base import Adapter

DOCUMENT = Path(__file__).parents[2] / "CONTRIBUTING.md"
MODULE = "toolkit.vlm.adapters.smolvlm"


@cache
def blocks() -> tuple[str, str]:
    """The adapter's file and the registry's line, out of the document."""
    found = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    (file,) = [block for block in found if block.startswith("# toolkit/vlm/adapters/smolvlm.py\n")]
    (line,) = [block for block in found if block.startswith("FAMILIES.add(")]
    return file, line


@cache
def adapter() -> type[Adapter]:
    """The printed class, in a module of the name that the document gives it."""
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(blocks()[0], str(DOCUMENT), "exec"), vars(module))
    found: type[Adapter] = vars(module)["SmolVLM"]
    return found


def processor(tile: int = 64, tiles: int = 4) -> hf.Idefics3Processor:
    """Idefics3's processor with tiles of 2 x 2 tokens, at most ``tiles`` along a side."""
    named = {f"tile_{r}_{c}": f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)}
    special = named | {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "end_of_utterance_token": "<end_of_utterance>",
        "global": "<global-img>",
        "start_token": "<|im_start|>",
    }
    settings = {"size": {"longest_edge": tile * tiles}, "max_image_size": {"longest_edge": tile}}
    try:
        images = hf.Idefics3ImageProcessorPil(**settings)
    except ImportError as error:
        if "Torchvision" not in str(error):
            raise
        pytest.skip(f"transformers {hf.__version__} makes Idefics3's images with torchvision only")
    template = (
        "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}:{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n"
        "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    return hf.Idefics3Processor(images, bpe(special), image_seq_len=4, chat_template=template)


def small(*, vision_layers: int = 1) -> tuple[hf.Idefics3ForConditionalGeneration, hf.Idefics3Processor]:
    """A small random model of the real class, and its processor."""
    words = processor()
    tokens = words.tokenizer.get_vocab()
    text = hf.LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.2,
        eos_token_id=tokens["<|im_end|>"],
        pad_token_id=tokens["<pad>"],
    )
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": vision_layers,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
        "initializer_range": 0.2,
    }
    config = hf.Idefics3Config(
        text_config=text, vision_config=vision, scale_factor=2, image_token_id=tokens["<image>"],
        pad_token_id=tokens["<pad>"], tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = hf.Idefics3ForConditionalGeneration(config)
    return model.train(False), words
