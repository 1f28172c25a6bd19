"""Qwen2.5-VL: dynamic grid, window attention, 2 x 2 merge, M-RoPE."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor

from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, ImageLimits, WithoutVideo, grid_regions
from toolkit.vlm.adapters.agreement import agree_on_token, agreed
from toolkit.vlm.engine.batched_windows import batched_windows


class Qwen2_5_VLProcessor(WithoutVideo, transformers.Qwen2_5_VLProcessor):  # noqa: N801
    """The released processor for images only."""


class Qwen2_5_VL(Adapter):  # noqa: N801
    """Adapter of ``Qwen2_5_VLForConditionalGeneration``; one player per merged 2 x 2 block of patches."""

    family = "qwen2.5-vl"
    model_type = "qwen2_5_vl"
    model_class = "Qwen2_5_VLForConditionalGeneration"
    bounds = ("max_pixels",)
    several_images = True
    processor_class: ClassVar[Any] = Qwen2_5_VLProcessor
    counts_frames: ClassVar[bool] = False
    """Whether the image processor counts a still picture's pixels once for each of its equal frames."""

    @classmethod
    def bound(cls, processor: Any, limits: ImageLimits) -> None:
        """``max_pixels`` bounds the dynamic grid."""
        if limits.max_pixels is None:
            return
        images = processor.image_processor
        side = images.patch_size * images.merge_size
        if limits.max_pixels < side * side:
            raise ValueError(f"max_pixels is {limits.max_pixels}; one image token needs {side * side}")
        longest = limits.max_pixels * (images.temporal_patch_size if cls.counts_frames else 1)
        size = {"shortest_edge": min(images.size.shortest_edge, longest), "longest_edge": longest}
        processor.image_processor = type(images).from_dict(images.to_dict() | {"size": size})

    def reconcile(self, config: Any) -> None:
        """Sizes of patches and merged blocks, which the image processor always has."""
        images, tower = self.processor.image_processor, config.vision_config
        for of_images, of_tower in (
            ("patch_size", "patch_size"), ("merge_size", "spatial_merge_size"),
            ("temporal_patch_size", "temporal_patch_size"),
        ):  # fmt: skip
            places = ("preprocessor_config.json", "config.json")
            agreed(getattr(images, of_images), getattr(tower, of_tower), of_tower.replace("_", " "), places)
        agree_on_token(self.processor, config)

    def geometry(self, image: Image.Image, inputs: Mapping[str, Tensor]) -> Geometry:
        """Merged blocks of the grid.

        The processor emits patches block by block (the 2 x 2 patches of one merged token are neighbours in the first
        dimension), and the tokens row by row over the merged grid: row i of the pixel tensor shows player i // 4.
        """
        images = self.processor.image_processor
        merge = images.merge_size
        _, grid_rows, grid_columns = (int(n) for n in inputs["image_grid_thw"][0])
        rows, columns = grid_rows // merge, grid_columns // merge
        n_patches, width = inputs["pixel_values"].shape
        block = (np.arange(n_patches) // merge**2).astype(np.int32)
        return Geometry(
            rows=rows,
            columns=columns,
            player_of_pixel=np.broadcast_to(block[:, None], (n_patches, width)),
            token_of_player=np.arange(rows * columns),
            n_tokens=rows * columns,
            regions=grid_regions(rows, columns),
        )

    def pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape (n_patches, 3 * 2 * patch * patch)."""
        return inputs["pixel_values"]

    def pixel_inputs(self, pixels: Tensor, geometry: Geometry) -> dict[str, Tensor]:
        """Patches of all pictures one after the other, and a grid per picture."""
        merge = self.processor.image_processor.merge_size
        grid = torch.tensor([[1, geometry.rows * merge, geometry.columns * merge]], device=pixels.device)
        return {"pixel_values": pixels.flatten(0, 1), "image_grid_thw": grid.repeat(len(pixels), 1)}

    def fast_vision(self, model: Any) -> AbstractContextManager[None]:
        """All attention windows of one size at once."""
        return batched_windows(model.model.visual)

    def canvas(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """Patches put back in place; the two equal frames of a still picture become one."""
        images = self.processor.image_processor
        merge, patch, frames = images.merge_size, images.patch_size, images.temporal_patch_size
        blocks = pixels.reshape(geometry.rows, geometry.columns, merge, merge, 3, frames, patch, patch)[
            :, :, :, :, :, 0
        ]
        side = merge * patch
        upright = blocks.permute(4, 0, 2, 5, 1, 3, 6)
        return upright.reshape(3, geometry.rows * side, geometry.columns * side)
