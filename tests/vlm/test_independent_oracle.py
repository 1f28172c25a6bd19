"""v(S) once more, from transformers, PIL and numpy alone: nothing of the toolkit but the game that is compared."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from transformers import (
    AutoTokenizer,
    InternVLForConditionalGeneration,
    LlavaForConditionalGeneration,
    Qwen2_5_VLForConditionalGeneration,
)

import toolkit
from toolkit.paths import models_dir

FAMILIES = {
    "llava": (LlavaForConditionalGeneration, "<image>" * 36 + "\n"),
    "qwen2.5-vl": (
        Qwen2_5_VLForConditionalGeneration, "<|vision_start|>" + "<|image_pad|>" * 36 + "<|vision_end|>",
    ),
    "internvl": (InternVLForConditionalGeneration, "<img>" + "<IMG_CONTEXT>" * 36 + "</img>\n"),
}  # fmt: skip
MEAN, STD = (np.array(v) for v in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)))


def oracle(family, images, question, instruction, answer, coalitions):
    kind, block = FAMILIES[family]
    folder = models_dir() / f"tiny-{family}-grounded"
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prefix = tokenizer("<bos><user>" + block * len(images), add_special_tokens=False).input_ids
    words = [tokenizer.convert_tokens_to_ids(word) for word in question.split()]
    rest = tokenizer(f"\n{instruction}<assistant>", add_special_tokens=False).input_ids
    ids = torch.tensor([prefix + words + rest])
    blurred = [image.filter(ImageFilter.GaussianBlur(min(image.size) / 4)) for image in images]
    small = [[p.resize((96, 96), Image.Resampling.BICUBIC) for p in some] for some in (images, blurred)]
    shown, removed = ((np.array([np.asarray(p) for p in some]) / 255 - MEAN) / STD for some in small)
    n_cells = 36 * len(images)
    values = []
    for coalition in coalitions:
        cell = coalition[:n_cells].reshape(-1, 6, 6).repeat(16, axis=1).repeat(16, axis=2)
        seen = np.where(cell[..., None], shown, removed).transpose(0, 3, 1, 2)
        pixels = torch.tensor(seen, dtype=torch.float32)
        mask = torch.ones_like(ids)
        mask[0, len(prefix) : len(prefix) + len(words)] = torch.tensor(coalition[n_cells:])
        inputs = {"pixel_values": pixels, "position_ids": torch.arange(ids.shape[1])[None]}
        if family == "qwen2.5-vl":
            inputs = qwen(pixels, ids[0] == tokenizer.convert_tokens_to_ids("<|image_pad|>"))
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **inputs).logits[0, -1]
        values.append(logits.double().softmax(0)[tokenizer.convert_tokens_to_ids(answer)].item())
    return np.array(values)


def qwen(pixels, is_image):
    """Patches of 8 x 8 in blocks of 2 x 2, each frame twice; rows and columns as positions of the image tokens."""
    blocks = pixels.reshape(-1, 3, 6, 2, 8, 6, 2, 8).permute(0, 2, 5, 3, 6, 1, 4, 7)[:, :, :, :, :, :, None]
    row, column = (torch.arange(36) // 6, torch.arange(36) % 6)
    positions, at, following = [], 0, 0
    while at < len(is_image):
        if is_image[at]:
            positions += (following + torch.stack([torch.zeros(36, dtype=torch.long), row, column])).T.tolist()
            at, following = at + 36, following + 6
        else:
            positions.append([following] * 3)
            at, following = at + 1, following + 1
    return {
        "pixel_values": blocks.expand(-1, -1, -1, -1, -1, -1, 2, -1, -1).reshape(144 * len(pixels), -1),
        "image_grid_thw": torch.tensor([[1, 12, 12]] * len(pixels)),
        "position_ids": torch.tensor(positions).T[:, None],
    }


@pytest.mark.parametrize("family", list(FAMILIES))
def test_values_equal_those_of_an_oracle_that_shares_nothing(family):
    vlm = toolkit.load_vlm(f"tiny-{family}-grounded", device="cpu", store=None)
    sample = toolkit.load_samples("scenes-existence", n=3)[1]
    target = vlm.answer(sample).text
    game = vlm.game(sample, target=target)
    coalitions = np.random.default_rng(0).random((12, game.players.n)) < 0.6
    coalitions[:2] = [[True], [False]]
    expected = oracle(family, sample.images, sample.question, sample.instruction, target, coalitions)
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(game(coalitions), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_values_of_two_images_equal_those_of_the_oracle(family):
    vlm = toolkit.load_vlm(f"tiny-{family}-grounded", device="cpu", store=None)
    one, other = toolkit.load_samples("scenes-existence", n=3)[1:]
    sample = replace(one, further_images=(other.image,), truth=None)
    game = vlm.game(sample, target="yes")
    coalitions = np.random.default_rng(1).random((8, game.players.n)) < 0.6
    coalitions[:2] = [[True], [False]]
    expected = oracle(family, sample.images, sample.question, sample.instruction, "yes", coalitions)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(game(coalitions), expected, rtol=0, atol=1e-5)
