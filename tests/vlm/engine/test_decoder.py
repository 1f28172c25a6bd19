"""A packed row computes, for every block, what the model computes for that block alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit.scenes.training.tiny import FAMILIES, build_tiny
from toolkit.vlm.engine import decoder

WORDS = tuple("is there a red blue circle square ? answer yes or no what colour the".split())
QUESTIONS = ("is there a red circle ?", "what colour is the square ? answer yes or no", "is there a blue square ?")


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (120, 120, 3), dtype=np.uint8))


def inputs(processor, question: str):
    message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    text = processor.apply_chat_template(message, add_generation_prompt=True)
    return processor(text=text, images=picture(), return_tensors="pt")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_packed_blocks_equal_ordinary_forwards(family: str, attention: str) -> None:
    model, processor = build_tiny(family, WORDS, seed=1)
    model.set_attn_implementation(attention)
    plain = [inputs(processor, question) for question in QUESTIONS]
    expected = [model(**one).logits[0] for one in plain]
    ids = [one["input_ids"][0] for one in plain]
    start = 1 + max(int(i) for i in (ids[0] == model.config.image_token_id).nonzero())
    pixels = {k: v for k, v in plain[0].items() if k in ("pixel_values", "image_grid_thw")}
    prefix = decoder.embed(model, ids[0][:start])
    prefix[ids[0][:start] == model.config.image_token_id] = decoder.encode_images(model, pixels, 1)[0]
    positions, following = decoder.prefix_positions(model, ids[0][:start], pixels)
    blocks = [one[start:] for one in ids]
    row = torch.cat([prefix, *(decoder.embed(model, block) for block in blocks), torch.zeros(2, prefix.shape[-1])])
    where = torch.cat(
        [positions]
        + [decoder.text_positions(positions, following, len(block)) for block in blocks]
        + [decoder.text_positions(positions, 0, 2)],
        dim=-1,
    )
    lengths = torch.tensor([len(block) for block in blocks])
    ends = torch.repeat_interleave(start + lengths.cumsum(0), lengths)
    n = start + len(ends)
    mask = decoder.tree_mask(torch.cat([torch.full((start,), n), ends, torch.tensor([n + 1, n + 2])])[None])
    hidden = decoder.decode(model, row[None], mask, where.unsqueeze(-2))
    logits = decoder.lm_head(model, hidden)[0]
    at = start
    for block, logit in zip(blocks, expected, strict=True):
        torch.testing.assert_close(logits[at : at + len(block)], logit[start:], atol=1e-5, rtol=0)
        at += len(block)


def test_a_tree_by_hand() -> None:
    # prefix 0 1; 2 with the branches 3 4 and 5; 6 alone; 7 padding
    mask = decoder.tree_mask(torch.tensor([[7, 7, 6, 5, 5, 6, 7, 8]]))[0].int().tolist()
    assert mask == [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ]
