"""A tiny model in training: its prompt prefix, its pixels in batches, and the loss of packed rows."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from toolkit.scenes.training.captions import NOWHERE
from toolkit.scenes.training.pool import SIDE
from toolkit.scenes.training.text_packing import Batch
from toolkit.vlm.engine import decoder
from toolkit.vlm.engine.masks import layer_biases


def pixel_inputs(processor: Any, images: NDArray[np.uint8], device: torch.device) -> dict[str, Tensor]:
    """What the image processor would return for pictures (B, 96, 96, 3) that need no resizing, computed in one go."""
    settings = processor.image_processor
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (settings.image_mean, settings.image_std))
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float()
    pixels = (pixels / 255 - mean) / std
    if not hasattr(settings, "merge_size"):
        return {"pixel_values": pixels}
    patch, merge, time = settings.patch_size, settings.merge_size, settings.temporal_patch_size
    side = SIDE // patch
    blocks = pixels.reshape(len(pixels), 3, side // merge, merge, patch, side // merge, merge, patch)
    flat = blocks.permute(0, 2, 5, 3, 6, 1, 4, 7)[:, :, :, :, :, :, None].expand(-1, -1, -1, -1, -1, -1, time, -1, -1)
    grid = torch.tensor([[1, side, side]], device=device).repeat(len(pixels), 1)
    return {"pixel_values": flat.reshape(len(pixels) * side * side, -1), "image_grid_thw": grid}


@dataclass(frozen=True)
class Losses:
    """What a training step minimises.

    Attributes:
        answers: Mean cross-entropy of the answers, in nats per token.
        captions: The same of captions and ends of turns.
        cells: Shape (B, 36, dim): image tokens after the decoder's first layer.
        names: Shape (n, dim): tokens that complete a thing's name (``Batch.named``, row by row) after its second.
    """

    answers: Tensor
    captions: Tensor
    cells: Tensor
    names: Tensor


class Student:
    """A tiny model and what its family's prompt looks like.

    Args:
        model: As built by ``build_tiny``, on its device.
        processor: Its processor.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self.device = next(model.parameters()).device
        content = [{"type": "image"}, {"type": "text", "text": "the"}]
        text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        blank = Image.new("RGB", (SIDE, SIDE))
        inputs = processor(images=[blank], text=[text], return_tensors="pt").to(self.device)
        ids = inputs["input_ids"][0]
        at = int((ids == processor.tokenizer.convert_tokens_to_ids("the")).nonzero()[-1])
        self.prefix, self.suffix = ids[:at], ids[at + 1 :].tolist()
        self.is_image = self.prefix == int(getattr(model.config, "image_token_id", -1))
        pixels = pixel_inputs(processor, np.zeros((1, SIDE, SIDE, 3), dtype=np.uint8), self.device)
        self._positions, self._next = decoder.prefix_positions(model, self.prefix, pixels)

    def see(self, images: NDArray[np.uint8]) -> Tensor:
        """Image tokens (B, 36, dim) of pictures (B, 96, 96, 3)."""
        return decoder.encode_images(self.model, pixel_inputs(self.processor, images, self.device), len(images))

    def first_layer(self, tokens: Tensor) -> Tensor:
        """States (B, 36, dim) of image tokens (B, 36, dim) after the decoder's first layer."""
        prompt = self._prompt(self.prefix.expand(len(tokens), -1), tokens)
        inner = self.model.get_decoder()
        positions = self._positions[..., None, :].expand(*self._positions.shape[:-1], len(tokens), -1)
        mask = torch.ones(len(tokens), *[len(self.prefix)] * 2, dtype=torch.bool, device=self.device).tril()
        bias = layer_biases(self.model, mask, prompt.dtype, torch.arange(len(self.prefix), device=self.device))[0]
        states: Tensor = inner.layers[0](
            prompt, attention_mask=bias, position_embeddings=inner.rotary_emb(prompt, positions)
        )
        return states[:, self.is_image]

    def loss(self, batch: Batch) -> Losses:
        """Loss of packed rows, and what the first layers of the decoder made of them."""
        n_rows, n_prefix = len(batch.ids), len(self.prefix)
        ids = torch.cat([self.prefix.expand(n_rows, -1), batch.ids.to(self.device)], dim=1)
        embeddings = self._prompt(ids, self.see(batch.images))
        queries = functional.pad(batch.queries.to(self.device), (n_prefix, 0), value=0)
        states: list[Tensor] = []
        with ExitStack() as hooks:
            for layer in self.model.get_decoder().layers[:2]:
                hooks.enter_context(layer.register_forward_hook(lambda _, __, output: states.append(output)))
            positions, index = self._all_positions(batch), self._index(batch)
            hidden = decoder.decode(self.model, embeddings, self._mask(queries), positions, index)
        targets = batch.targets.to(self.device)
        asked = targets != -100
        logits = decoder.lm_head(self.model, hidden[:, n_prefix:][asked])
        losses = functional.cross_entropy(logits, targets[asked], reduction="none")
        answer = batch.is_answer.to(self.device)[asked]
        named = batch.named.to(self.device) != NOWHERE
        return Losses(
            answers=losses[answer].mean(),
            captions=losses[~answer].mean(),
            cells=states[0][:, :n_prefix][:, self.is_image],
            names=states[1][:, n_prefix:][named],
        )

    def _prompt(self, ids: Tensor, tokens: Tensor) -> Tensor:
        """Embeddings of rows (B, length) that begin with the prefix, the image tokens in their places."""
        embeddings = decoder.embed(self.model, ids).clone()
        embeddings[:, : len(self.prefix)][:, self.is_image] = tokens.to(embeddings.dtype)
        return embeddings

    @staticmethod
    def _mask(queries: Tensor) -> Tensor:
        same = (queries[:, :, None] == queries[:, None, :]) | (queries[:, None, :] == 0)
        return same & torch.ones(queries.shape[1], queries.shape[1], dtype=torch.bool, device=queries.device).tril()

    def _index(self, batch: Batch) -> Tensor:
        """Each token's index (B, length) in a sequence of the prefix and its own query."""
        prefix = torch.arange(len(self.prefix), device=self.device).expand(len(batch.offsets), -1)
        return torch.cat([prefix, batch.offsets.to(self.device) + len(self.prefix)], dim=-1)

    def _all_positions(self, batch: Batch) -> Tensor:
        offsets = batch.offsets.to(self.device) + self._next
        prefix = self._positions[..., None, :].expand(*self._positions.shape[:-1], len(offsets), -1)
        return torch.cat([prefix, offsets.expand(*self._positions.shape[:-1], *offsets.shape)], dim=-1)
