"""LLaVA-1.5: shorter side resized, centre crop, one CLIP patch per image token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from transformers import LlavaProcessor

from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, grid_regions
from toolkit.vlm.adapters.agreement import agree_on_token, agreed
from toolkit.vlm.loading.checkpoint import CheckpointError

_CLASS_TOKENS = {"clip_vision_model": 1, "siglip_vision_model": 0}
"""Kinds of vision towers, and how many tokens each puts before its patches."""


class Llava(Adapter):
    """Adapter of ``LlavaForConditionalGeneration`` with a CLIP or SigLIP vision tower."""

    family = "llava"
    model_type = "llava"
    model_class = "LlavaForConditionalGeneration"
    processor_class = LlavaProcessor
    several_images = True

    def reconcile(self, config: Any) -> None:
        """Patch size, feature strategy, tokens besides the patches, and image size.

        CLIP puts a class token before the patches, which the strategy "default" drops; SigLIP has none. Checkpoints of
        2024 leave all of this to the model.
        """
        tower = config.vision_config
        if tower.model_type not in _CLASS_TOKENS:
            raise CheckpointError(
                f"the vision tower is a {tower.model_type!r}; LLaVA's adapter knows {', '.join(_CLASS_TOKENS)}"
            )
        p, here = self.processor, "processor_config.json"
        p.patch_size = agreed(p.patch_size, tower.patch_size, "patch size", (here, "config.json"))
        p.vision_feature_select_strategy = agreed(
            p.vision_feature_select_strategy, config.vision_feature_select_strategy, "feature strategy",
            (here, "config.json"),
        )  # fmt: skip
        n = _CLASS_TOKENS[tower.model_type]
        p.num_additional_image_tokens = agreed(
            p.num_additional_image_tokens or None, n or None, "number of additional image tokens",
            (here, f"a tower of the kind {tower.model_type}"),
        ) or 0  # fmt: skip
        if p.num_additional_image_tokens != n or (p.vision_feature_select_strategy == "default" and n == 0):
            raise CheckpointError(
                f"a tower of the kind {tower.model_type} has {n} tokens besides its patches, and {here} says "
                f"{p.num_additional_image_tokens} with the strategy {p.vision_feature_select_strategy!r}: a patch "
                "would be lost. Take both files from one checkpoint"
            )
        images = p.image_processor
        side = images.crop_size.height if images.do_center_crop else images.size.height
        agreed(side, tower.image_size, "image size", ("preprocessor_config.json", "config.json"))
        agree_on_token(p, config)

    def geometry(self, image: Image.Image, inputs: Mapping[str, Tensor]) -> Geometry:
        """Square patches of the crop; regions undo the crop and the resizing."""
        height, width = inputs["pixel_values"].shape[-2:]
        patch = self.processor.patch_size
        rows, columns = height // patch, width // patch
        row = np.minimum(np.arange(height) // patch, rows - 1)
        column = np.minimum(np.arange(width) // patch, columns - 1)
        player = (row[:, None] * columns + column[None, :]).astype(np.int32)
        player[rows * patch :] = player[:, columns * patch :] = -1
        dropped = 1 if self.processor.vision_feature_select_strategy == "default" else 0
        extra = self.processor.num_additional_image_tokens - dropped
        return Geometry(
            rows=rows,
            columns=columns,
            player_of_pixel=np.broadcast_to(player, (3, height, width)),
            token_of_player=np.arange(rows * columns) + extra,
            n_tokens=rows * columns + extra,
            regions=grid_regions(rows, columns, self._crop_box(image, rows * patch, columns * patch)),
        )

    def _crop_box(self, image: Image.Image, height: int, width: int) -> tuple[float, float, float, float]:
        """The patches' extent in fractions of the original picture, by the processor's own rounding."""
        images = self.processor.image_processor
        full_width, full_height = image.size
        if images.do_resize:
            short = images.size.shortest_edge
            if short is None:
                full_width, full_height = images.size.width, images.size.height
            elif full_width <= full_height:
                full_width, full_height = short, int(short * full_height / full_width)
            else:
                full_width, full_height = int(short * full_width / full_height), short
        left = top = 0
        if images.do_center_crop:
            left, top = (full_width - images.crop_size.width) // 2, (full_height - images.crop_size.height) // 2
        return left / full_width, top / full_height, (left + width) / full_width, (top + height) / full_height

    def pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape (3, height, width)."""
        return inputs["pixel_values"][0]

    def pixel_inputs(self, pixels: Tensor, geometry: Geometry) -> dict[str, Tensor]:
        """The batch as it is."""
        return {"pixel_values": pixels}

    def canvas(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """The crop as it is."""
        return pixels
