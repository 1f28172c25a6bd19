"""InternVL: tiles with a thumbnail, a class token, pixel shuffle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import transformers
from PIL import Image
from torch import Tensor
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, ImageLimits, WithoutVideo, tiled_geometry, untiled
from toolkit.vlm.adapters.agreement import agree_on_token, agreed


class InternVLProcessor(WithoutVideo, transformers.InternVLProcessor):
    """The released processor for images only."""


class InternVL(Adapter):
    """Adapter of ``InternVLForConditionalGeneration``.

    A picture becomes a canvas of tiles and, when there are several, a thumbnail of the whole.
    """

    family = "internvl"
    model_type = "internvl"
    model_class = "InternVLForConditionalGeneration"
    processor_class = InternVLProcessor
    bounds = ("max_tiles",)
    several_images = True

    @classmethod
    def bound(cls, processor: Any, limits: ImageLimits) -> None:
        """``max_tiles`` bounds the canvas."""
        if limits.max_tiles is not None:
            processor.image_processor.max_patches = limits.max_tiles

    def reconcile(self, config: Any) -> None:
        """Tokens of a tile, by its size, its patches and the pixel shuffle; and the size of a tile."""
        tower, images = config.vision_config, self.processor.image_processor
        side, patch = (x[0] if isinstance(x, list | tuple) else x for x in (tower.image_size, tower.patch_size))
        due = int(side // patch * config.downsample_ratio) ** 2
        agreed(
            self.processor.image_seq_length, due, "image sequence length",
            ("processor_config.json", f"config.json (tiles of {side} pixels, patches of {patch})"),
        )  # fmt: skip
        agreed(images.size.height, side, "size of a tile", ("preprocessor_config.json", "config.json"))
        agree_on_token(self.processor, config)

    def expansion(self, geometry: Geometry) -> str:
        """Start token, one context token per image token of all tiles, end token."""
        p = self.processor
        return f"{p.start_image_token}{p.image_token * geometry.n_tokens}{p.end_image_token}"

    def geometry(self, image: Image.Image, inputs: Mapping[str, Tensor]) -> Geometry:
        """Cells of the tiled canvas, row by row over the whole picture."""
        shape = tuple(inputs["pixel_values"].shape)
        side = math.isqrt(self.processor.image_seq_length)
        return tiled_geometry(*self._canvas_shape(image, shape[0], *shape[2:]), side, shape)

    def _canvas_shape(self, image: Image.Image, n_tiles: int, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tiles, by the processor's own rule."""
        if n_tiles == 1:
            return 1, 1
        images = self.processor.image_processor
        columns, rows = get_optimal_tiled_canvas(
            (image.height, image.width), (height, width), images.min_patches, images.max_patches
        )
        return rows, columns

    def pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape (n_tiles, 3, height, width); the thumbnail is the last tile."""
        return inputs["pixel_values"]

    def pixel_inputs(self, pixels: Tensor, geometry: Geometry) -> dict[str, Tensor]:
        """Tiles of all pictures one after the other."""
        return {"pixel_values": pixels.flatten(0, 1)}

    def image_settings(self) -> dict[str, Any]:
        """Tiling is the processor's own setting, not its image processor's."""
        return {"crop_to_patches": True}

    def canvas(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """The tiles put together; the thumbnail is left out."""
        side = math.isqrt(self.processor.image_seq_length)
        return untiled(pixels, geometry.rows // side, geometry.columns // side)
