"""The models that the toolkit knows by name: what they are, how large, under which licence, and what was verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toolkit.registry import Registry


@dataclass(frozen=True)
class CatalogueEntry:
    """One model.

    Attributes:
        name: What ``load_vlm`` takes.
        family: Model family.
        source: ``"embedded"`` (travels with the toolkit) or ``"hub"``.
        parameters: Number of parameters.
        licence: Licence of the weights, as its publisher names it.
        revision: Commit that a benchmark run loads (40 hex digits), or None: name one yourself.
        verified: What was checked on it, and how.
    """

    name: str
    family: str
    source: Literal["embedded", "hub"]
    parameters: int
    licence: str
    revision: str | None
    verified: str

    def n_image_tokens(self, max_pixels: int | None = None, max_tiles: int | None = None) -> int:
        """Image tokens of a typical image: a scene for embedded models, else a photograph of 640 x 480 pixels.

        Families that are not listed in ``TOKENS`` count as LLaVA, whose crop makes 24 x 24.
        """
        if self.source == "embedded":
            return 36
        if self.family == "internvl":
            return 256 * (12 if max_tiles is None else min(12, max_tiles))
        tokens, side = TOKENS.get(self.family, (24 * 24, 0))
        return tokens if max_pixels is None or not side else min(tokens, max_pixels // side**2)

    def bytes_needed(self, bytes_per_weight: float = 2) -> int:
        """Memory in bytes for the weights and a fifth more for working space, at 2 bytes (bfloat16) a weight."""
        return int(1.2 * self.parameters * bytes_per_weight)


TOKENS = {"qwen2.5-vl": (17 * 23, 28), "qwen3-vl": (15 * 20, 32), "pixtral": (30 * 40, 16), "gemma3": (256, 0)}
"""Tokens of a photograph of 640 x 480, and pixels along a token's side where the number of pixels can be bounded."""

_TINY = "the adapter contract tests run on it; accuracy and calibration are on its model card"
_SHAPE = "the adapter contract tests run on its class with small random weights; the released weights were not at hand"

CATALOGUE: Registry[CatalogueEntry] = Registry("model")
for _family, _parameters in (("llava", 1_020_928), ("qwen2.5-vl", 1_096_736), ("internvl", 948_640)):
    for _twin in ("grounded", "biased", "shortcut"):
        _name = f"tiny-{_family}-{_twin}"
        CATALOGUE.add(_name, CatalogueEntry(_name, _family, "embedded", _parameters, "MIT", None, _TINY))

for _entry in (
    CatalogueEntry(
        "llava-hf/llava-1.5-7b-hf",
        "llava",
        "hub",
        7_063_427_072,
        "llama2",
        "b234b804b114d9e37bb655e11cbbb5f5e971b7a9",
        _SHAPE,
    ),
    CatalogueEntry("llava-hf/llava-1.5-13b-hf", "llava", "hub", 13_350_839_296, "llama2", None, _SHAPE),
    CatalogueEntry(
        "Qwen/Qwen2.5-VL-3B-Instruct",
        "qwen2.5-vl",
        "hub",
        3_754_622_976,
        "qwen-research",
        "66285546d2b821cf421d4f5eb2576359d3770cd3",
        _SHAPE,
    ),
    CatalogueEntry(
        "Qwen/Qwen2.5-VL-7B-Instruct",
        "qwen2.5-vl",
        "hub",
        8_292_166_656,
        "apache-2.0",
        "cc594898137f460bfe9f0759e9844b3ce807cfb5",
        _SHAPE,
    ),
    CatalogueEntry("OpenGVLab/InternVL3_5-1B-HF", "internvl", "hub", 1_061_000_000, "apache-2.0", None, _SHAPE),
    CatalogueEntry("OpenGVLab/InternVL3_5-2B-HF", "internvl", "hub", 2_348_347_392, "apache-2.0", None, _SHAPE),
    CatalogueEntry("OpenGVLab/InternVL3_5-4B-HF", "internvl", "hub", 4_732_000_000, "apache-2.0", None, _SHAPE),
    CatalogueEntry("OpenGVLab/InternVL3_5-8B-HF", "internvl", "hub", 8_528_000_000, "apache-2.0", None, _SHAPE),
    CatalogueEntry("Qwen/Qwen3-VL-2B-Instruct", "qwen3-vl", "hub", 2_130_000_000, "apache-2.0", None, _SHAPE),
    CatalogueEntry("Qwen/Qwen3-VL-4B-Instruct", "qwen3-vl", "hub", 4_440_000_000, "apache-2.0", None, _SHAPE),
    CatalogueEntry(
        "llava-hf/llava-onevision-qwen2-0.5b-ov-hf", "llava-onevision", "hub", 894_000_000, "apache-2.0", None, _SHAPE
    ),
    CatalogueEntry("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3", "hub", 257_000_000, "apache-2.0", None, _SHAPE),
    CatalogueEntry("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "smolvlm", "hub", 2_250_000_000, "apache-2.0", None, _SHAPE),
    CatalogueEntry("google/gemma-3-4b-it", "gemma3", "hub", 4_300_000_000, "gemma", None, _SHAPE),
    CatalogueEntry("mistral-community/pixtral-12b", "pixtral", "hub", 12_680_000_000, "apache-2.0", None, _SHAPE),
):
    CATALOGUE.add(_entry.name, _entry)
