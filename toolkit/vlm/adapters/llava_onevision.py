"""LLaVA-OneVision: a base view, then the unpadded tokens of the tiles, each row of them with an end of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers.image_processing_utils import select_best_resolution

from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, ImageLimits, WithoutVideo, regions_between, untiled
from toolkit.vlm.adapters.agreement import agree_on_token, agreed
from toolkit.vlm.loading.checkpoint import CheckpointError


class LlavaOnevisionProcessor(WithoutVideo, transformers.LlavaOnevisionProcessor):
    """The released processor for images only."""


class LlavaOnevision(Adapter):
    """Adapter of ``LlavaOnevisionForConditionalGeneration``; one player per token of the tiles.

    The image is enlarged, padded to a whole number of tiles and cut; tokens of padding alone are dropped, and where
    more than ``anyres_max`` tiles' worth is left, the grid is shrunk. A base view of the whole stands before them: its
    pixels belong to the cell that they show, its tokens and the row ends to nobody.
    """

    family = "llava-onevision"
    model_type = "llava_onevision"
    model_class = "LlavaOnevisionForConditionalGeneration"
    processor_class = LlavaOnevisionProcessor
    bounds = ("max_tiles",)

    @classmethod
    def bound(cls, processor: Any, limits: ImageLimits) -> None:
        """``max_tiles`` leaves out the sizes of more tiles; ``all_pinpoints`` keeps those of the checkpoint."""
        if limits.max_tiles is None:
            return
        images = processor.image_processor
        processor.all_pinpoints = images.image_grid_pinpoints
        images.image_grid_pinpoints = [
            [height, width]
            for height, width in images.image_grid_pinpoints
            if height * width <= limits.max_tiles * images.size.height**2
        ]

    def reconcile(self, config: Any) -> None:
        """Number of tokens of a tile, feature strategy, sizes that an image may take, and size of a tile."""
        tower, p, images = config.vision_config, self.processor, self.processor.image_processor
        places = ("processor_config.json", "config.json")
        p.num_image_tokens = agreed(
            p.num_image_tokens, (tower.image_size // tower.patch_size) ** 2, "number of tokens of a tile", places
        )
        p.vision_feature_select_strategy = agreed(
            p.vision_feature_select_strategy, config.vision_feature_select_strategy, "feature strategy", places
        )
        if p.vision_feature_select_strategy != "full":
            raise CheckpointError(
                f"the feature strategy is {p.vision_feature_select_strategy!r}, which would drop a patch of each tile; "
                f"{self.family} is known here with 'full'"
            )
        agreed(p.vision_aspect_ratio, config.vision_aspect_ratio, "bound of the tiles' tokens", places)
        sizes = getattr(p, "all_pinpoints", images.image_grid_pinpoints)
        agreed(
            [list(s) for s in sizes], [list(s) for s in config.image_grid_pinpoints], "sizes of tiled images", places
        )
        config.image_grid_pinpoints = images.image_grid_pinpoints
        agreed(images.size.height, tower.image_size, "size of a tile", ("preprocessor_config.json", "config.json"))
        along = math.isqrt(p.num_image_tokens)
        agreed(
            images.size.height // along, tower.patch_size, "patch size", (f"a tile of {along} patches", "config.json")
        )
        agree_on_token(p, config)

    def geometry(self, image: Image.Image, inputs: Mapping[str, Tensor]) -> Geometry:
        """Tokens of the tiles, row by row over the whole image; the processor's own counts and padding."""
        size, p = (image.height, image.width), self.processor
        side, along = int(inputs["pixel_values"].shape[-1]), math.isqrt(p.num_image_tokens)
        tiles = self._tiles(size)
        n_cells, n_rows = p._get_unpadded_features(*size, along, along, *tiles)
        (down, y), (across, x) = (
            axis.cells(n) for axis, n in zip(_axes(size, tiles, side, along), (n_rows, n_cells // n_rows), strict=True)
        )
        rows, columns = len(y) - 1, len(x) - 1
        base = [np.searchsorted(edges[1:-1], (np.arange(side) + 0.5) / side, "right") for edges in (y, x)]
        whole = np.where((down[:, None] < 0) | (across < 0), -1, down[:, None] * columns + across)
        cut = whole.reshape(tiles[0], side, tiles[1], side).transpose(0, 2, 1, 3).reshape(-1, side, side)
        owners = np.concatenate([(base[0][:, None] * columns + base[1])[None], cut]).astype(np.int32)
        row, column = np.divmod(np.arange(rows * columns), columns)
        return Geometry(
            rows=rows,
            columns=columns,
            player_of_pixel=np.broadcast_to(owners[:, None], (len(owners), 3, side, side)),
            token_of_player=along * along + row * (columns + 1) + column,
            n_tokens=along * along + rows * (columns + 1),
            regions=regions_between(x, y),
            size=size,
        )

    def _tiles(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tiles of an image (height, width)."""
        images = self.processor.image_processor
        height, width = select_best_resolution(size, images.image_grid_pinpoints)
        return height // images.size.height, width // images.size.height

    def pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape (1 + n_tiles, 3, side, side); the base view is the first."""
        return inputs["pixel_values"][0]

    def pixel_inputs(self, pixels: Tensor, geometry: Geometry) -> dict[str, Tensor]:
        """The batch as it is, and the size that each image had."""
        return {
            "pixel_values": pixels,
            "image_sizes": torch.tensor([geometry.size] * len(pixels), device=pixels.device),
        }

    def canvas(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """The tiles put together, without their padding."""
        assert geometry.size is not None
        tiles = self._tiles(geometry.size)
        shown = untiled(torch.tensor(geometry.player_of_pixel[1:]), *tiles)[0] >= 0
        return untiled(pixels[1:], *tiles)[:, shown.any(1)][:, :, shown.any(0)]


@dataclass(frozen=True)
class _Axis:
    """One direction of a padded and tiled image.

    Attributes:
        tiles: Number of tiles.
        side: Pixels of a tile.
        along: Tokens of a tile; what the side has beyond a whole number of patches belongs to the last.
        start: First pixel of the image itself.
        length: Its number of pixels.
        dropped: Tokens of padding alone, at each end.
    """

    tiles: int
    side: int
    along: int
    start: int
    length: int
    dropped: int

    def cells(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The cell of n that each pixel shows, -1 for padding, and the edges of the cells as fractions of the image."""
        tile, within = np.divmod(np.arange(self.tiles * self.side), self.side)
        token = tile * self.along + np.minimum(within // (self.side // self.along), self.along - 1)
        kept = self.tiles * self.along - 2 * self.dropped
        cell = np.clip(((token - self.dropped + 0.5) * n / kept).astype(np.int64), 0, n - 1)
        shown = slice(self.start, self.start + self.length)
        edges = np.searchsorted(cell[shown], np.arange(n + 1)) / self.length
        found = np.full(len(cell), -1)
        found[shown] = cell[shown]
        return found, edges


def _axes(size: tuple[int, int], tiles: tuple[int, int], side: int, along: int) -> list[_Axis]:
    """Down and across, as transformers enlarges, pads and unpads."""
    target, grid = (tiles[0] * side, tiles[1] * side), (tiles[0] * along, tiles[1] * along)
    (height, width), (rows, columns) = size, grid
    factor = min(whole / length for whole, length in zip(target, size, strict=True))
    new = [min(math.ceil(length * factor), whole) for whole, length in zip(target, size, strict=True)]
    dropped = [0, 0]
    if width / height > columns / rows:
        dropped[0] = (rows - int(round(height * (columns / width), 7))) // 2
    else:
        dropped[1] = (columns - int(round(width * (rows / height), 7))) // 2
    return [
        _Axis(t, side, along, (whole - n) // 2, n, d)
        for t, whole, n, d in zip(tiles, target, new, dropped, strict=True)
    ]
