"""What is sent of a coalition: the image with cells replaced, the question with words deleted."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.datasets.image_file import png_bytes
from toolkit.datasets.instructions import put_together
from toolkit.vlm.partition import Partition, PlayersError, Span

SIDE = 8
"""Rows and columns of the cells where nobody chooses."""

VERSION = 1
"""Raised whenever something else is sent of the same coalition, so that what a store remembers is not mixed."""

_FINE = 24
"""Rows and columns of the cells that segments are made of."""


def base_grid(players: str, image: Image.Image) -> tuple[int, int]:
    """Rows and columns of the cells that players are made of: at most one cell a pixel.

    Raises:
        PlayersError: A grid that is finer than the image.
    """
    if players.startswith("grid:"):
        rows, columns = (int(n) for n in players.removeprefix("grid:").split("x"))
        if rows > image.height or columns > image.width:
            raise PlayersError(f"players {players!r}: the image has {image.width} x {image.height} pixels; take fewer")
        return rows, columns
    side = SIDE if players == "auto" else _FINE
    return min(side, image.height), min(side, image.width)


def owners(partition: Partition, players: str, image: Image.Image) -> NDArray[np.int64]:
    """The player of each pixel, shape (height, width)."""
    rows, columns = base_grid(players, image)
    down = np.arange(image.height)[:, None] * rows // image.height
    across = np.arange(image.width) * columns // image.width
    found: NDArray[np.int64] = partition.player_of[down * columns + across]
    return found


def masked(image: Image.Image, removed: Image.Image, kept: NDArray[np.bool_]) -> Image.Image:
    """The image where ``kept`` (height, width), else the baseline's."""
    return Image.fromarray(np.where(kept[..., None], np.asarray(image), np.asarray(removed)))


def without_words(question: str, spans: tuple[Span, ...], kept: NDArray[np.bool_]) -> str:
    """The question with the words that are not ``kept`` (n_words,) deleted; a blank keeps what they parted apart.

    Example:
        >>> spans = ((0, 2), (3, 4), (5, 8), (8, 9))
        >>> without_words("is a red?", spans, np.array([True, True, False, True]))
        'is a?'
    """
    text, end, is_gap = "", 0, False
    for (_, stop), is_kept in zip(spans, kept, strict=True):
        piece = question[end:stop]
        if is_kept:
            text += (" " if is_gap and text[-1:].isalnum() and piece[:1].isalnum() else "") + piece
        end, is_gap = stop, not is_kept
    return text.strip()


def as_png(image: Image.Image) -> str:
    """The image as PNG, in base64."""
    return base64.b64encode(png_bytes(image)).decode()


def make_body(image: Image.Image, question: str, instruction: str) -> dict[str, Any]:
    """What is asked: the image, then the text."""
    text, _ = put_together(question, instruction)
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{as_png(image)}"}},
        {"type": "text", "text": text},
    ]
    return {"messages": [{"role": "user", "content": content}]}
