"""Gemma 3: one square view, pooled patches, an image whose tokens see each other in both directions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor
from transformers import Gemma3Processor

from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, whole_geometry
from toolkit.vlm.adapters.agreement import agreed
from toolkit.vlm.loading.checkpoint import CheckpointError


class Gemma3(Adapter):
    """Adapter of ``Gemma3ForConditionalGeneration``; one player per pooled block of patches.

    Gemma 3 (arXiv 2503.19786): the tokens of an image attend to each other in both directions, in layers with a window
    as far back as it reaches; all else is causal.
    """

    family = "gemma3"
    model_type = "gemma3"
    model_class = "Gemma3ForConditionalGeneration"
    processor_class = Gemma3Processor
    both_ways = True

    def reconcile(self, config: Any) -> None:
        """Tokens of an image, size of the view, image token; crops beside the view are refused."""
        p, images = self.processor, self.processor.image_processor
        places = ("processor_config.json", "config.json")
        agreed(p.image_seq_length, config.mm_tokens_per_image, "image sequence length", places)
        places = ("preprocessor_config.json", "config.json")
        agreed(images.size.height, config.vision_config.image_size, "image size", places)
        if images.do_pan_and_scan:
            raise CheckpointError(
                "preprocessor_config.json has do_pan_and_scan, which shows crops as further images beside the whole; "
                "the toolkit scores one view: set it to false, as the released checkpoints do"
            )
        agreed(p.tokenizer.image_token_id, config.image_token_id, "image token", ("the tokenizer", "config.json"))

    def mark(self) -> str:
        """The token that begins an image."""
        return str(self.processor.boi_token)

    def placeholder(self) -> str:
        """The tokenizer's image token."""
        return str(self.processor.tokenizer.image_token)

    def expansion(self, geometry: Geometry) -> str:
        """Blank lines, the beginning, the image tokens, the end, blank lines."""
        return str(self.processor.full_image_sequence)

    def geometry(self, image: Image.Image, inputs: Mapping[str, Tensor]) -> Geometry:
        """A square grid over the whole image, whatever its shape."""
        side = math.isqrt(self.processor.image_seq_length)
        return whole_geometry(side, side, inputs["pixel_values"].shape)

    def pixels(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape (1, 3, side, side)."""
        return inputs["pixel_values"]

    def pixel_inputs(self, pixels: Tensor, geometry: Geometry) -> dict[str, Tensor]:
        """Views of all images one after the other."""
        return {"pixel_values": pixels.flatten(0, 1)}

    def text_inputs(self, ids: Tensor) -> dict[str, Tensor]:
        """Which tokens are an image's; without this, transformers reads the prompt causally."""
        return {"token_type_ids": (ids == self.processor.tokenizer.image_token_id).long()}

    def canvas(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """The view as it is."""
        return pixels[0]
