"""What a family of models must say about itself, and the one map from players to pixels that it owns.

A family is one adapter file: which class loads it, how its processor is built without torchvision, how its image
tokens lie over the picture, and how its pixels go in and come out. Everything else (prompts, games, the engine, the
white box) is written against this page.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from toolkit.typing import Regions

MAX_ASPECT = 200
"""Pictures more elongated than this are refused: no family's processor makes sense of them."""


@dataclass(frozen=True)
class ImageLimits:
    """How much of a large picture a family may look at; None keeps the checkpoint's own setting.

    Attributes:
        max_pixels: Pixels after resizing (families with a dynamic grid).
        max_tiles: Tiles besides the thumbnail (families that tile).
    """

    max_pixels: int | None = None
    max_tiles: int | None = None


@dataclass(frozen=True)
class Geometry:
    """Where the players of one picture lie: in the pixel tensor, among the image tokens, and in the picture.

    Attributes:
        rows: Rows of image players.
        columns: Columns of image players; player ``r * columns + c`` is the cell in row r, column c of the picture.
        player_of_pixel: Integer array of the shape of the picture's pixel tensor: the player that each entry shows,
            or -1 for an entry that shows none.
        token_of_player: Shape (n_players,): index among the picture's image tokens, in prompt order.
        n_tokens: Number of image tokens in the prompt; may exceed the number of players (thumbnails).
        regions: Shape (n_players, 4): x0, y0, x1, y1 as fractions of the original picture.
        size: Height and width of the original picture, where the model asks for them.
    """

    rows: int
    columns: int
    player_of_pixel: NDArray[np.int32] = field(repr=False)
    token_of_player: NDArray[np.int64] = field(repr=False)
    n_tokens: int
    regions: Regions = field(repr=False)
    size: tuple[int, int] | None = None

    @property
    def n_players(self) -> int:
        """Number of image players."""
        return self.rows * self.columns


def grid_regions(rows: int, columns: int, box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)) -> Regions:
    """Cells of a regular grid over a box (x0, y0, x1, y1), row by row, clipped to the picture: (rows * columns, 4)."""
    x = box[0] + (box[2] - box[0]) * np.arange(columns + 1) / columns
    y = box[1] + (box[3] - box[1]) * np.arange(rows + 1) / rows
    return regions_between(x, y)


def regions_between(x: NDArray[np.float64], y: NDArray[np.float64]) -> Regions:
    """Cells between the edges of columns x (columns + 1,) and rows y (rows + 1,), clipped: (rows * columns, 4)."""
    corners = [(x[c], y[r], x[c + 1], y[r + 1]) for r in range(len(y) - 1) for c in range(len(x) - 1)]
    return np.clip(np.array(corners, dtype=np.float64), 0.0, 1.0)


def whole_geometry(rows: int, columns: int, shape: Sequence[int]) -> Geometry:
    """Geometry of one view of the whole image, cut into equal cells that are one token each.

    Args:
        rows: Rows of tokens.
        columns: Columns of tokens.
        shape: (1, 3, height, width) of the pixel tensor.
    """
    height, width = shape[-2:]
    cell = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    owners = np.kron(cell, np.ones((height // rows, width // columns), dtype=np.int32))
    return Geometry(
        rows=rows,
        columns=columns,
        player_of_pixel=np.broadcast_to(owners, tuple(shape)),
        token_of_player=np.arange(rows * columns),
        n_tokens=rows * columns,
        regions=grid_regions(rows, columns),
    )


def tiled_geometry(tile_rows: int, tile_columns: int, side: int, shape: Sequence[int]) -> Geometry:
    """Geometry of a picture cut into tiles of ``side`` x ``side`` tokens, behind which a small copy of it may stand.

    The players are the tiles' tokens, row by row over the whole picture. The copy shows every cell a second time: its
    pixels belong to the cell that they show, so a removed cell is removed from both; its tokens are nobody's.

    Args:
        tile_rows: Rows of tiles.
        tile_columns: Columns of tiles.
        side: Tokens along a tile's side.
        shape: (n_tiles, 3, height, width) of the pixel tensor; tiles come row by row, the copy last.

    Raises:
        ValueError: The number of tiles does not fit.
    """
    n_tiles, channels, height, width = shape
    if n_tiles - tile_rows * tile_columns not in (0, 1):
        raise ValueError(
            f"the processor returned {n_tiles} tiles where {tile_rows} x {tile_columns} and a small copy were due"
        )
    rows, columns = tile_rows * side, tile_columns * side
    row, column = np.divmod(np.arange(rows * columns), columns)
    tile = (row // side) * tile_columns + column // side
    cell = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    pixel = np.kron(cell, np.ones((height // side, width // side), dtype=np.int32))
    owners = pixel.reshape(tile_rows, height, tile_columns, width).transpose(0, 2, 1, 3).reshape(-1, height, width)
    if n_tiles > len(owners):
        down = ((np.arange(height) + 0.5) * rows / height).astype(np.int64)
        across = ((np.arange(width) + 0.5) * columns / width).astype(np.int64)
        owners = np.concatenate([owners, cell[down[:, None], across[None, :]][None]])
    return Geometry(
        rows=rows,
        columns=columns,
        player_of_pixel=np.broadcast_to(owners[:, None], (n_tiles, channels, height, width)),
        token_of_player=tile * side * side + (row % side) * side + column % side,
        n_tokens=n_tiles * side * side,
        regions=grid_regions(rows, columns),
    )


def untiled(pixels: Tensor, tile_rows: int, tile_columns: int) -> Tensor:
    """Tiles (n_tiles, 3, height, width) put together as one upright picture; a small copy at the end is left out."""
    tiles = pixels[: tile_rows * tile_columns]
    height, width = tiles.shape[-2:]
    upright = tiles.reshape(tile_rows, tile_columns, 3, height, width).permute(2, 0, 3, 1, 4)
    return upright.reshape(3, tile_rows * height, tile_columns * width)


class Adapter(ABC):
    """One family of vision-language models.

    Attributes:
        family: Name in reports.
        model_type: ``model_type`` in the checkpoint's config.json.
        model_class: Name of the transformers class.
        processor_class: Class of its processor, which needs no torchvision; see :class:`WithoutVideo`.
        bounds: Which of ``max_pixels`` and ``max_tiles`` the family has.
        several_images: Whether a sample may have several images: its processor makes of each what it makes of it alone,
            and pixel tensors of several are one behind the other along their first axis.
        both_ways: Whether image tokens attend to each other in both directions; all else is causal.
        shares_prefix: Whether the tokens before the question are the same whatever is asked. Where they are not, every
            coalition is an ordinary forward pass of its own, and there is no white box.
    """

    family: ClassVar[str]
    model_type: ClassVar[str]
    model_class: ClassVar[str]
    processor_class: ClassVar[Any]
    bounds: ClassVar[tuple[str, ...]] = ()
    several_images: ClassVar[bool] = False
    both_ways: ClassVar[bool] = False
    shares_prefix: ClassVar[bool] = True

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    @classmethod
    def load_processor(cls, source: str, revision: str | None, limits: ImageLimits) -> Any:
        """Load the processor with the PIL backend, so that pixels are the same on every machine, and bound its images.

        Raises:
            ValueError: A limit that this family does not have, or cannot keep.
        """
        for bound, value in vars(limits).items():
            if value is not None and bound not in cls.bounds:
                cure = " and ".join(cls.bounds) + " does" if cls.bounds else "they have one fixed size, leave it out"
                raise ValueError(f"{bound} does not bound the images of {cls.family}: {cure}")
            if value is not None and value < 1:
                raise ValueError(f"{bound} is {value}; expected at least 1")
        processor = cls.processor_class.from_pretrained(source, revision=revision or "main", backend="pil")
        cls.bound(processor, limits)
        return processor

    @classmethod  # noqa: B027  # a family may have nothing to bound
    def bound(cls, processor: Any, limits: ImageLimits) -> None:
        """Have the processor keep the limits that the family has.

        Raises:
            ValueError: It cannot.
        """

    def reconcile(self, config: Any) -> None:  # noqa: B027  # a family may have nothing to fill
        """Fill what the processor lacks from the model's configuration, and refuse what contradicts it.

        Raises:
            CheckpointError: They contradict each other; the message has both values.
        """

    def placeholder(self) -> str:
        """The token that stands for one image token in the expanded prompt."""
        return str(self.processor.image_token)

    def mark(self) -> str:
        """The token that stands for the whole image in the chat template."""
        return self.placeholder()

    def expansion(self, geometry: Geometry) -> str:
        """What the processor writes in the prompt in place of the chat template's mark."""
        return self.placeholder() * geometry.n_tokens

    @abstractmethod
    def geometry(self, image: Image.Image, inputs: Mapping[str, Tensor]) -> Geometry:
        """The one map from players to pixels, tokens and regions."""

    @abstractmethod
    def pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """One picture's pixel tensor, shape ``player_of_pixel.shape``, of the processor's output."""

    @abstractmethod
    def pixel_inputs(self, pixels: Tensor, geometry: Geometry) -> dict[str, Tensor]:
        """The model's keyword arguments for a batch (B, *pixel_shape) of pixel tensors of one geometry."""

    def text_inputs(self, ids: Tensor) -> dict[str, Tensor]:
        """Further keyword arguments of the model, which depend on the token ids (batch, length)."""
        return {}

    def n_layer_features(self, config: Any) -> int:
        """Behind how many of the first decoder layers the vision tower's output is added once more (DeepStack)."""
        return 0

    def image_settings(self) -> dict[str, Any]:
        """Settings with which the processor calls its image processor."""
        return {}

    def fast_vision(self, model: Any) -> AbstractContextManager[None]:
        """A context in which the vision tower computes the same on batches of pictures, only faster."""
        return nullcontext()

    @abstractmethod
    def canvas(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """One pixel tensor as an upright normalised picture (3, height, width), what the model sees."""

    def to_image(self, pixels: Tensor, geometry: Geometry) -> Image.Image:
        """What the model sees, normalisation undone, as an RGB picture."""
        images = self.processor.image_processor
        canvas = self.canvas(pixels.detach().float().cpu(), geometry).numpy()
        mean, std = (np.asarray(v, dtype=np.float64)[:, None, None] for v in (images.image_mean, images.image_std))
        levels = np.clip(np.rint((canvas * std + mean) * 255), 0, 255).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))

    def record(self) -> dict[str, Any]:
        """Settings of the preprocessing that change pixels, for records and cache keys."""
        settings = self.processor.image_processor.to_dict()
        keys = (
            "size", "crop_size", "max_image_size", "min_patches", "max_patches", "resample", "image_mean", "image_std",
            "patch_size", "image_grid_pinpoints",
        )  # fmt: skip
        return {key: settings[key] for key in keys if settings.get(key) is not None} | {"backend": "pil"}


class WithoutVideo:
    """Before a processor class of transformers: that processor for images only.

    It asks for no video processor, which would need torchvision; all else, its saved name included, is inherited.
    """

    @classmethod
    def get_attributes(cls) -> list[str]:
        """What the processor consists of, as transformers asks."""
        return [name for name in super().get_attributes() if name != "video_processor"]  # type: ignore[misc]


def check_image(image: Image.Image) -> Image.Image:
    """The picture as RGB.

    Raises:
        ValueError: Its sides differ by more than a factor of ``MAX_ASPECT``.
    """
    width, height = image.size
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(
            f"the picture is {width} x {height} pixels; sides may differ by a factor of {MAX_ASPECT} at most: crop it"
        )
    return image if image.mode == "RGB" else image.convert("RGB")
