"""SmolVLM and Idefics3: tiles with a small copy of the whole behind them, pixel shuffle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import transformers
from PIL import Image
from torch import Tensor
from transformers import Idefics3Processor

from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, ImageLimits, tiled_geometry, untiled
from toolkit.vlm.adapters.agreement import agree_on_token, agreed


class SmolVLMProcessor(Idefics3Processor):
    """SmolVLM2's processor for images only, which writes the same as Idefics3's.

    The released one asks for a video processor, which would need torchvision, and for num2words, which names frames.
    """


class Idefics3(Adapter):
    """Adapter of ``Idefics3ForConditionalGeneration``, which SmolVLM's first version is; one player per tile token."""

    family = "idefics3"
    model_type = "idefics3"
    model_class = "Idefics3ForConditionalGeneration"
    bounds = ("max_tiles",)
    processor_class: ClassVar[Any] = Idefics3Processor

    @classmethod
    def load_processor(cls, source: str, revision: str | None, limits: ImageLimits) -> Any:
        """Load the processor and bound its images.

        Raises:
            ImportError: transformers asks for torchvision, as 5.15 does, although PIL does the work.
            ValueError: A limit that this family does not have.
        """
        try:
            return super().load_processor(source, revision, limits)
        except ImportError as error:
            raise ImportError(
                f"transformers {transformers.__version__} reads images of {cls.family} with torchvision only, which is "
                "not installed; update transformers (5.23 needs PIL alone), or install torchvision"
            ) from error

    @classmethod
    def bound(cls, processor: Any, limits: ImageLimits) -> None:
        """``max_tiles`` bounds the square that the image is enlarged to."""
        if limits.max_tiles is not None:
            images = processor.image_processor
            images.size = {"longest_edge": math.isqrt(limits.max_tiles) * images.max_image_size["longest_edge"]}

    def reconcile(self, config: Any) -> None:
        """Tokens of a tile, by its size, its patches and the pixel shuffle; and the size of a tile."""
        tower, images = config.vision_config, self.processor.image_processor
        due = (tower.image_size // tower.patch_size // config.scale_factor) ** 2
        agreed(
            self.processor.image_seq_len, due, "image sequence length",
            ("processor_config.json", f"config.json (tiles of {tower.image_size} pixels)"),
        )  # fmt: skip
        side = images.max_image_size["longest_edge"]
        agreed(side, tower.image_size, "size of a tile", ("preprocessor_config.json", "config.json"))
        agree_on_token(self.processor, config)

    def _tiles(self, geometry: Geometry) -> tuple[int, int]:
        side = math.isqrt(self.processor.image_seq_len)
        return geometry.rows // side, geometry.columns // side

    def expansion(self, geometry: Geometry) -> str:
        """What the processor writes: tiles with their row and column, the small copy last; a single tile has none."""
        rows, columns = self._tiles(geometry) if geometry.n_tokens > geometry.n_players else (0, 0)
        return str(self.processor.replace_image_token({"rows": [[rows]], "cols": [[columns]]}, 0))

    def geometry(self, image: Image.Image, inputs: Mapping[str, Tensor]) -> Geometry:
        """The longer side has as many tiles as fit into the processor's size; the shorter side has the rest."""
        images, shape = self.processor.image_processor, tuple(inputs["pixel_values"].shape[1:])
        long = math.ceil(images.size["longest_edge"] / images.max_image_size["longest_edge"]) if shape[0] > 1 else 1
        short = max(1, (shape[0] - 1) // long)
        rows, columns = (short, long) if image.width >= image.height else (long, short)
        return tiled_geometry(rows, columns, math.isqrt(self.processor.image_seq_len), shape)

    def pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape (n_tiles, 3, height, width); the small copy is the last tile."""
        return inputs["pixel_values"][0]

    def pixel_inputs(self, pixels: Tensor, geometry: Geometry) -> dict[str, Tensor]:
        """The batch as it is: (B, n_tiles, 3, height, width)."""
        return {"pixel_values": pixels}

    def canvas(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """The tiles put together; the small copy is left out."""
        return untiled(pixels, *self._tiles(geometry))


class SmolVLM(Idefics3):
    """Adapter of ``SmolVLMForConditionalGeneration``, SmolVLM2: the same tiles."""

    family = "smolvlm"
    model_type = "smolvlm"
    model_class = "SmolVLMForConditionalGeneration"
    processor_class: ClassVar[Any] = SmolVLMProcessor
