"""Mistral 3 and Pixtral: the image in its own shape, a token at the end of every row of patches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin

from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, ImageLimits, whole_geometry
from toolkit.vlm.adapters.agreement import agree_on_token, agreed


class PixtralProcessor(ProcessorMixin):
    """What transformers' processor of this name does, which cannot be imported without torchvision.

    Attributes:
        patch_size: Pixels of a patch of the tower; None, as in files that leave it out, until the model says it.
        spatial_merge_size: Patches along a merged block; likewise.
        image_token: Stands for a merged block; a row of them ends with ``image_break_token``, the last with
            ``image_end_token``.
    """

    text_kwargs: Any = {"return_tensors": "pt"}  # noqa: RUF012  # read by the base class
    images_kwargs: Any = {"return_tensors": "pt"}  # noqa: RUF012

    def __init__(
        self,
        image_processor: object = None,
        tokenizer: Any = None,
        patch_size: int | None = None,
        spatial_merge_size: int | None = None,
        chat_template: str | None = None,
        image_token: str = "[IMG]",
        image_break_token: str = "[IMG_BREAK]",
        image_end_token: str = "[IMG_END]",
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)  # type: ignore[no-untyped-call]
        self.patch_size: Any = patch_size
        self.spatial_merge_size: Any = spatial_merge_size
        self.image_token, self.image_break_token = image_token, image_break_token
        self.image_end_token = image_end_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)

    def _process_images(self, images: Any, **settings: Any) -> Any:  # transformers' calling convention
        settings["patch_size"] = self.patch_size * self.spatial_merge_size
        return super()._process_images(images, **settings)

    def replace_image_token(self, image_inputs: Any, image_idx: int, **settings: Any) -> str:
        """What stands in the prompt for one image."""
        block = self.patch_size * self.spatial_merge_size
        rows, columns = (int(n) // block for n in image_inputs["image_sizes"][image_idx])
        return self.image_break_token.join([self.image_token * columns] * rows) + self.image_end_token


class Mistral3(Adapter):
    """Adapter of ``Mistral3ForConditionalGeneration``; one player per merged block of patches.

    The row breaks in the prompt are template: they are words of the vocabulary, and nobody's.
    """

    family = "mistral3"
    model_type = "mistral3"
    model_class = "Mistral3ForConditionalGeneration"
    processor_class = PixtralProcessor
    bounds = ("max_pixels",)

    @classmethod
    def bound(cls, processor: Any, limits: ImageLimits) -> None:
        """``max_pixels`` bounds the square into which the image is made to fit."""
        if limits.max_pixels is None:
            return
        if None in (processor.patch_size, processor.spatial_merge_size):
            raise ValueError("max_pixels needs patch_size and spatial_merge_size in processor_config.json; add them")
        side = processor.patch_size * processor.spatial_merge_size
        if limits.max_pixels < side * side:
            raise ValueError(f"max_pixels is {limits.max_pixels}; one image token needs {side * side}")
        images = processor.image_processor
        longest = min(images.size.longest_edge, math.isqrt(limits.max_pixels) // side * side)
        processor.image_processor = type(images).from_dict(images.to_dict() | {"size": {"longest_edge": longest}})

    def reconcile(self, config: Any) -> None:
        """Patch size, size of a merged block, image token."""
        p, places = self.processor, ("processor_config.json", "config.json")
        p.patch_size = agreed(p.patch_size, config.vision_config.patch_size, "patch size", places)
        merge = getattr(config, "spatial_merge_size", 1)
        p.spatial_merge_size = agreed(p.spatial_merge_size, merge, "spatial merge size", places)
        agree_on_token(p, config)

    @property
    def _block(self) -> int:
        return int(self.processor.patch_size * self.processor.spatial_merge_size)

    def expansion(self, geometry: Geometry) -> str:
        """One image token per block, a break between rows, and an end."""
        p = self.processor
        row = p.image_token * geometry.columns
        return str(p.image_break_token.join([row] * geometry.rows) + p.image_end_token)

    def geometry(self, image: Image.Image, inputs: Mapping[str, Tensor]) -> Geometry:
        """Merged blocks, row by row."""
        height, width = inputs["pixel_values"].shape[-2:]
        return whole_geometry(height // self._block, width // self._block, inputs["pixel_values"].shape)

    def pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape (1, 3, height, width)."""
        return inputs["pixel_values"]

    def pixel_inputs(self, pixels: Tensor, geometry: Geometry) -> dict[str, Tensor]:
        """Images one after the other, and the size of each."""
        sizes = torch.tensor([pixels.shape[-2:]] * len(pixels), device=pixels.device)
        return {"pixel_values": pixels.flatten(0, 1), "image_sizes": sizes}

    def image_settings(self) -> dict[str, Any]:
        """Sides are whole numbers of merged blocks, which the processor tells its image processor."""
        return {"patch_size": self._block}

    def canvas(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """The image as it is."""
        return pixels[0]


class Pixtral(Mistral3):
    """Adapter of ``LlavaForConditionalGeneration`` with Pixtral's tower (arXiv 2410.07073); one player per patch."""

    family = "pixtral"
    model_type = "pixtral"
    model_class = "LlavaForConditionalGeneration"
