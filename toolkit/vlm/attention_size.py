"""How large the attention weights of a model's largest layer are, by its configuration, before it is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def attention_entries(config: Mapping[str, Any], n_image_tokens: int, n_tokens: int, n_images: int = 1) -> int:
    """Entries, heads x queries x keys, of the attention weights of the largest layer of either tower.

    The decoder attends to all tokens. A tower whose patches merge (Qwen-VL) attends to all patches of an image at once,
    one of fixed size to its patches and a class token, in each tile and image at the same time.

    Args:
        config: The content of the checkpoint's ``config.json``.
        n_image_tokens: Image tokens of a sample.
        n_tokens: Tokens that enter the decoder.
        n_images: Images of a sample.

    Example:
        >>> tower = {"num_attention_heads": 16, "image_size": 336, "patch_size": 14}
        >>> llava = {"text_config": {"num_attention_heads": 32}, "vision_config": tower}
        >>> attention_entries(llava, 576, 640) == 32 * 640**2
        True
    """
    text, vision = config.get("text_config", {}), config.get("vision_config", {})
    decoder = int(text.get("num_attention_heads", 32)) * n_tokens**2
    heads = int(vision.get("num_heads", vision.get("num_attention_heads", 16)))
    merge = int(vision.get("spatial_merge_size", 0))
    if merge:
        return max(decoder, heads * (merge**2 * n_image_tokens // n_images) ** 2)
    rows, columns = (a // b for a, b in zip(_pair(vision, "image_size"), _pair(vision, "patch_size"), strict=True))
    patches = rows * columns
    tiles = math.ceil(n_image_tokens / max(1.0, patches * float(config.get("downsample_ratio", 1)) ** 2))
    return max(decoder, heads * tiles * (patches + 1) ** 2)


def attention_bytes(entries: int, itemsize: float, *, copies: int) -> int:
    """Bytes of so many attention weights while a layer is looked at.

    Args:
        entries: Heads x queries x keys.
        itemsize: Bytes of a number of the model. In half precision the softmax runs in float32: scores, their copy and
            the weights take 2 + 4 + 4 bytes.
        copies: Tensors of the weights' shape that are held at once.
    """
    return int(max(copies * itemsize, 10) * entries)


def _pair(settings: Mapping[str, Any], name: str) -> tuple[int, int]:
    """A side in pixels, which stands alone or as height and width."""
    found = settings.get(name, 1)
    return (found, found) if isinstance(found, int) else (int(found[0]), int(found[1]))
