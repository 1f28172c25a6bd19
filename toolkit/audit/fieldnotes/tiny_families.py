"""The families of the table: configurations of tiny models, and what each one's forward call takes for an image.

transformers' own classes, at 32 dimensions and with random weights that are the same in every version. Nothing here
imports more of the toolkit, so that the file also runs beside another version of transformers.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

IMAGE, START, END, VIDEO = 60, 61, 62, 63
WORDS = (10, 11, 12, 13, 14, 15, 16, 17)
Image = tuple[int, dict[str, Any]]
"""How many tokens the image takes in the prompt, and what the forward call gets besides the tokens."""

_TEXT = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
_TOWER = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_THETA = {"rope_theta": 1e4}
_MROPE = {"rope_type": "default", "type": "default", "mrope_section": [2, 1, 1], **_THETA}
_TURNED = {"rope_scaling": _MROPE, "rope_parameters": _MROPE}
_QWEN = {"video_token_id": VIDEO, "vision_start_token_id": START, "vision_end_token_id": END}
_TILES = [[28, 28], [28, 56], [56, 28]]
_ALTERNATING = ["sliding_attention", "full_attention", "full_attention"]


@dataclass(frozen=True)
class Family:
    """One family of models.

    Attributes:
        model_type: Its key in transformers.
        config: Settings of a tiny configuration.
        image: Image from (seed, twice as high): a later call gets one of another size where the family takes it.
        types: Name of the token types that the family's processor sends along, or none.
        type_of_image: The type of an image's token (all others are 0).
        window: Settings of the text part that give it a window of four tokens, or none.
    """

    model_type: str
    config: dict[str, Any]
    image: Callable[[int, bool], Image]
    types: str = ""
    type_of_image: int = 1
    window: dict[str, Any] | None = None


def _noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _square(side: int) -> Callable[[int, bool], Image]:
    return lambda seed, high: (4, {"pixel_values": _noise(seed, 1, 3, side, side)})


def _two_tiles(seed: int, high: bool) -> Image:
    return 10, {"pixel_values": _noise(seed, 1, 2, 3, 28, 28), "image_sizes": torch.tensor([[28, 28]])}


def _one_of_many(seed: int, high: bool) -> Image:
    return 4, {"pixel_values": _noise(seed, 1, 1, 3, 64, 64)}


def _any_size(seed: int, high: bool) -> Image:
    height = 112 if high else 56
    sizes = torch.tensor([[height, 56]])
    return 8 if high else 4, {"pixel_values": _noise(seed, 1, 3, height, 56), "image_sizes": sizes}


def _rows(patch: int) -> Callable[[int, bool], Image]:
    """Rows of flattened patches and their grid, as the Qwen and GLM families take them."""

    def image(seed: int, high: bool) -> Image:
        height = 8 if high else 4
        grid = torch.tensor([[1, height, 4]])
        return height, {"pixel_values": _noise(seed, 4 * height, 6 * patch * patch), "image_grid_thw": grid}

    return image


def _places(seed: int, high: bool) -> Image:
    """Rows of flattened patches and the place of each, as Gemma 4 takes them."""
    height = 8 if high else 4
    places = torch.tensor([[[x, y] for y in range(height) for x in range(4)]])
    pixels = torch.rand(1, 4 * height, 3 * 16 * 16, generator=torch.Generator().manual_seed(seed))
    return height, {"pixel_values": pixels, "image_position_ids": places}


def _crossed(seed: int, high: bool) -> Image:
    return 1, {
        "pixel_values": _noise(seed, 1, 1, 1, 3, 28, 28),
        "aspect_ratio_ids": torch.tensor([[1]]),
        "aspect_ratio_mask": torch.ones(1, 1, 1, dtype=torch.long),
    }


def _text(model_type: str, **own: Any) -> dict[str, Any]:
    return {**_TEXT, "model_type": model_type, **own}


def _tower(model_type: str, side: int, patch: int = 14, **own: Any) -> dict[str, Any]:
    return {**_TOWER, "model_type": model_type, "image_size": side, "patch_size": patch, **own}


def _rows_tower(model_type: str, patch: int, **own: Any) -> dict[str, Any]:
    sizes = {"depth": 2, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    return {"model_type": model_type, **sizes, "patch_size": patch, "spatial_merge_size": 2, **own}


def _config(text: dict[str, Any], vision: dict[str, Any], **own: Any) -> dict[str, Any]:
    """A configuration; the families name the image's token in two ways."""
    return {"text_config": text, "vision_config": vision, "image_token_index": IMAGE, "image_token_id": IMAGE, **own}


_TILED = _config(_text("llama"), {**_TOWER, "image_size": 64, "patch_size": 16}, scale_factor=2, pad_token_id=0)

# fmt: off
FAMILIES: dict[str, Family] = {
    "LLaVA": Family("llava", _config(_text("llama"), _tower("clip_vision_model", 28)), _square(28)),
    "LLaVA-NeXT": Family(
        "llava_next", _config(_text("llama"), _tower("clip_vision_model", 28), image_grid_pinpoints=_TILES), _two_tiles,
    ),
    "LLaVA-OneVision": Family(
        "llava_onevision",
        _config(
            _text("qwen2"), _tower("siglip_vision_model", 28), image_grid_pinpoints=_TILES, vision_feature_layer=-1,
            video_token_index=VIDEO,
        ),
        _two_tiles,
    ),
    "Qwen2.5-VL": Family(
        "qwen2_5_vl",
        _config(
            _text("qwen2_5_vl_text", **_TURNED),
            _rows_tower("qwen2_5_vl", 14, window_size=56, fullatt_block_indexes=[1]), **_QWEN,
        ),
        _rows(14), types="mm_token_type_ids",
        window={"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 4},
    ),
    "Qwen3-VL": Family(
        "qwen3_vl",
        _config(
            _text("qwen3_vl_text", **_TURNED),
            _rows_tower("qwen3_vl", 16, num_position_embeddings=64, deepstack_visual_indexes=[0, 1]), **_QWEN,
        ),
        _rows(16), types="mm_token_type_ids",
    ),
    "Qwen3.5": Family(
        "qwen3_5",
        _config(
            _text(
                "qwen3_5_text", layer_types=["linear_attention", "full_attention", "linear_attention"],
                linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8,
                rope_parameters={**_MROPE, "partial_rotary_factor": 1.0},
            ),
            _rows_tower("qwen3_5", 16, num_position_embeddings=64), **_QWEN,
        ),
        _rows(16), types="mm_token_type_ids",
    ),
    "InternVL": Family(
        "internvl",
        _config(
            _text("qwen2"), {**_TOWER, "model_type": "internvl_vision", "image_size": [56, 56], "patch_size": [14, 14]},
            image_seq_length=4,
        ),
        _square(56),
    ),
    "Gemma 3": Family(
        "gemma3",
        _config(
            _text("gemma3_text", sliding_window=64, layer_types=_ALTERNATING, query_pre_attn_scalar=8),
            _tower("siglip_vision_model", 56, vision_use_head=False), mm_tokens_per_image=4, boi_token_index=START,
            eoi_token_index=END,
        ),
        _square(56), types="token_type_ids", window={"sliding_window": 4, "layer_types": _ALTERNATING},
    ),
    "Gemma 4": Family(
        "gemma4",
        _config(
            _text(
                "gemma4_text", num_hidden_layers=4, num_kv_shared_layers=2, sliding_window=64, global_head_dim=8,
                layer_types=["sliding_attention", "full_attention"] * 2, vocab_size_per_layer_input=64,
                hidden_size_per_layer_input=8,
            ),
            {
                **_TOWER, "model_type": "gemma4_vision", "num_key_value_heads": 2, "head_dim": 16, "patch_size": 16,
                "pooling_kernel_size": 2, "position_embedding_size": 64,
            },
            audio_config=None, video_token_id=VIDEO, audio_token_id=59, boi_token_id=START, eoi_token_id=END,
        ),
        _places, types="mm_token_type_ids", window={"sliding_window": 4},
    ),
    "SmolVLM": Family("smolvlm", _TILED, _one_of_many),
    "Idefics3": Family("idefics3", _TILED, _one_of_many),
    "Mistral-3": Family(
        "mistral3",
        _config(
            _text("mistral", sliding_window=None), _tower("pixtral", 112, head_dim=16), vision_feature_layer=-1,
            spatial_merge_size=2,
        ),
        _any_size, window={"sliding_window": 4},
    ),
    "PaliGemma": Family(
        "paligemma",
        _config(
            _text("gemma"), _tower("siglip_vision_model", 28, vision_use_head=False, projection_dim=32),
            projection_dim=32,
        ),
        _square(28), types="token_type_ids", type_of_image=0,
    ),
    "GLM-4V": Family(
        "glm4v",
        _config(
            _text("glm4v_text", **_TURNED), _rows_tower("glm4v_vision", 14, image_size=56), video_token_id=VIDEO,
            image_start_token_id=START, image_end_token_id=END, video_start_token_id=58, video_end_token_id=59,
        ),
        _rows(14), types="mm_token_type_ids",
    ),
    "Mllama": Family(
        "mllama",
        _config(
            _text("mllama_text_model", cross_attention_layers=[1], rope_scaling={"rope_type": "default", **_THETA}),
            {
                "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_global_layers": 1,
                "attention_heads": 2, "vision_output_dim": 64, "image_size": 28, "patch_size": 14, "max_num_tiles": 1,
                "intermediate_layers_indices": [0], "supported_aspect_ratios": [[1, 1]],
            },
        ),
        _crossed,
    ),
}
"""Name -> family."""
# fmt: on


@dataclass
class TinyModel:
    """A tiny model of a family and the prompts that the probes send it."""

    family: Family
    model: Any

    @property
    def types(self) -> str:
        """Name of the token types, if this version's forward call has them."""
        return self.family.types if self.family.types in inspect.signature(self.model.forward).parameters else ""

    def prompt(self, seed: int = 0, *, high: bool = False) -> dict[str, Any]:
        """Arguments of a forward call: an image between two words, and eight words."""
        n_tokens, image = self.family.image(seed, high)
        ids = torch.tensor([[1, 5, START, *[IMAGE] * n_tokens, END, *WORDS]])
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **image}
        if self.types:
            given[self.types] = self.family.type_of_image * (ids == IMAGE).long()
        if "aspect_ratio_ids" in given:
            given["cross_attention_mask"] = (ids.cumsum(1) > 5)[:, :, None, None].long()
        return given

    def words_only(self) -> dict[str, Any]:
        """Arguments of a call without image."""
        ids = torch.tensor([[1, 5, *WORDS]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    @torch.no_grad()
    def logits(self, **given: Any) -> torch.Tensor:
        """Logits behind the last token, shape (vocabulary,), in float32."""
        found: torch.Tensor = self.model(**given).logits[0, -1]
        return found.float()


def build(family: Family, *, attention: str = "sdpa", window: bool = False) -> TinyModel:
    """A tiny model with the attention asked for; with or without windows of four tokens.

    Raises:
        Exception: Whatever transformers raises for the configuration.
    """
    import transformers

    text = {**family.config["text_config"], **(family.window or {} if window else {})}
    settings = {**family.config, "text_config": text}
    config = transformers.CONFIG_MAPPING[family.model_type](**settings)
    config.tie_word_embeddings = False
    makers: Any = transformers.AutoModelForImageTextToText
    model = makers.from_config(config, attn_implementation=attention).eval()
    _fill(model)
    return TinyModel(family, model)


def _fill(model: torch.nn.Module) -> None:
    """Weights by their names alone: nothing in them depends on the order in which a version makes its layers."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("gate"):
                weight.fill_(0.5)
            elif weight.ndim > 1 or "norm" not in name:
                weight.copy_(0.25 * _noise(zlib.crc32(name.encode()), *weight.shape))


def is_known(family: Family) -> bool:
    """Whether the installed transformers has the family."""
    import transformers

    return family.model_type in transformers.CONFIG_MAPPING
