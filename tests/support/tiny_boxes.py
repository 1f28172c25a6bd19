"""Randomly initialised models of the three families behind the smallest possible white box, for activation methods."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit.datasets.sample import Sample
from toolkit.games.game import Players
from toolkit.scenes.training.tiny import FAMILIES, build_tiny
from toolkit.vlm.engine import decoder
from toolkit.vlm.protocol import Answer

WORDS = ("is", "there", "a", "red", "circle", "?", "answer", "yes", "or", "no")
__all__ = ["FAMILIES", "TinyBox", "TinyVLM", "tiny_sample", "tiny_vlm"]


def tiny_sample(seed: int = 0, question: str = "is there a red circle ?") -> Sample:
    picture = np.random.default_rng(seed).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    return Sample(id=f"tiny-{seed}", image=Image.fromarray(picture), question=question, choices=("yes", "no"))


@dataclass
class TinyBox:
    model: torch.nn.Module
    ids: Tensor
    pixel_inputs: dict[str, Tensor]
    players: Players
    image_positions: Tensor
    text_positions: Tensor
    target_ids: tuple[int, ...]
    hidden: int | None = None  # a cell that no other position may look at
    unordered: bool = False  # the decoder sees the picture as a set: one position, and every cell looks at every cell

    def __post_init__(self) -> None:
        self.pixels = self.pixel_inputs["pixel_values"].reshape(1, *self.pixel_shape)
        self.baseline_pixels = torch.zeros_like(self.pixels)
        self.question = decoder.embed(self.model, self.ids[self.text_positions])[None].detach()
        pad = torch.zeros(1, dtype=torch.long)
        self.baseline_question = decoder.embed(self.model, pad)[None].detach().expand_as(self.question)

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        return tuple(
            self.pixel_inputs["pixel_values"].shape[-3:]
            if "image_grid_thw" not in self.pixel_inputs
            else self.pixel_inputs["pixel_values"].shape
        )

    def logits(self, pixels: Tensor, question: Tensor) -> Tensor:
        batch = len(pixels)
        inputs = dict(self.pixel_inputs)
        inputs["pixel_values"] = pixels.flatten(0, 1) if "image_grid_thw" in inputs else pixels
        if "image_grid_thw" in inputs:
            inputs["image_grid_thw"] = inputs["image_grid_thw"].repeat(batch, 1)
        rows = decoder.embed(self.model, self.ids).detach().expand(batch, -1, -1).clone()
        rows[:, self.image_positions] = decoder.encode_images(self.model, inputs, batch)
        rows[:, self.text_positions] = question
        positions, _ = decoder.prefix_positions(self.model, self.ids, self.pixel_inputs)
        n = rows.shape[1]
        mask = torch.ones(batch, n, n, dtype=torch.bool).tril()
        if self.hidden is not None:
            mask[:, self.image_positions[self.hidden] + 1 :, self.image_positions[self.hidden]] = False
        if self.unordered:
            mask[:, self.image_positions[:, None], self.image_positions] = True
            positions = positions.clone()
            positions[..., self.image_positions] = positions[..., self.image_positions[:1]]
        where = positions[..., None, :].expand(*positions.shape[:-1], batch, n)
        return decoder.lm_head(self.model, decoder.decode(self.model, rows, mask, where))[:, -1]

    def logit(self, pixels: Tensor, question: Tensor) -> Tensor:
        return self.logits(pixels, question)[:, self.target_ids[0]]

    def score(self, pixels: Tensor, question: Tensor) -> Tensor:
        return self.logits(pixels, question).log_softmax(-1)[:, self.target_ids[0]]

    def pixels_to_players(self, attribution: Tensor) -> Tensor:
        if "image_grid_thw" in self.pixel_inputs:
            return attribution.reshape(len(attribution), 36, -1).sum(-1)
        return 256 * torch.nn.functional.avg_pool2d(attribution.sum(1), 16).flatten(1)


class TinyVLM:
    revision = None

    def __init__(self, family: str, seed: int = 0, gain: float = 2.0) -> None:
        self.name = self.family = family
        self.model, self.processor = build_tiny(family, WORDS, seed=seed)
        with torch.no_grad():  # attention of an untrained model is nearly flat: sharpen it
            for name, parameter in self.model.named_parameters():
                if parameter.ndim == 2 and re.search(r"(q_proj|k_proj|qkv)", name):
                    parameter.mul_(gain)

    def players(self, sample: Sample) -> Players:
        return Players.make(tuple(f"cell {i}" for i in range(36)), tuple(sample.question.split()))

    def regions(self, sample: Sample) -> np.ndarray:
        return np.array([(c / 6, r / 6, (c + 1) / 6, (r + 1) / 6) for r in range(6) for c in range(6)])

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        return tuple(m.span() for m in re.finditer(r"\S+", sample.question))

    def white_box(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> TinyBox:
        content = [{"type": "image"}, {"type": "text", "text": sample.question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        inputs = self.processor(text=text, images=sample.image, return_tensors="pt")
        ids = inputs["input_ids"][0]
        image = (ids == self.model.config.image_token_id).nonzero()[:, 0]
        words = self.processor.tokenizer(sample.question)["input_ids"]
        start = next(i for i in range(len(ids)) if ids[i : i + len(words)].tolist() == words)
        token = self.processor.tokenizer.convert_tokens_to_ids(target or self.answer(sample).text)
        pixels = {k: inputs[k] for k in ("pixel_values", "image_grid_thw") if k in inputs}
        where = torch.arange(start, start + len(words))
        return TinyBox(self.model, ids, pixels, self.players(sample), image, where, (token,))

    def answer(self, sample: Sample) -> Answer:
        return Answer("yes", 0.5, (WORDS.index("yes"),), {})


@cache
def tiny_vlm(family: str) -> TinyVLM:
    return TinyVLM(family)
