"""GLM-4.1V and GLM-4.6V: Qwen2.5-VL's dynamic grid, a tower without windows, a decoder with four norms in a layer."""

from __future__ import annotations

from typing import Any, ClassVar

import transformers

from toolkit.vlm.adapters.adapter_base import WithoutVideo
from toolkit.vlm.adapters.qwen2_5_vl import Qwen2_5_VL


class Glm4vProcessor(WithoutVideo, transformers.Glm4vProcessor):
    """The released processor for images only."""


class Glm46VProcessor(WithoutVideo, transformers.Glm46VProcessor):
    """The released processor for images only."""


class Glm4v(Qwen2_5_VL):
    """Adapter of ``Glm4vForConditionalGeneration``; one player per merged 2 x 2 block of patches."""

    family = "glm4.1v"
    model_type = "glm4v"
    model_class = "Glm4vForConditionalGeneration"
    processor_class: ClassVar[Any] = Glm4vProcessor
    counts_frames = True


class Glm46V(Glm4v):
    """Adapter of ``Glm46VForConditionalGeneration``: the same model behind other names."""

    family = "glm4.6v"
    model_type = "glm46v"
    model_class = "Glm46VForConditionalGeneration"
    processor_class = Glm46VProcessor
