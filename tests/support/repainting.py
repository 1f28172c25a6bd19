"""Which player does a part of the picture belong to? Repaint it and look what changes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toolkit.vlm.adapters.adapter_base import Geometry


def paint(image: Image.Image, region: np.ndarray) -> Image.Image:
    """The picture with the pixels of one region (fractions) inverted."""
    levels = np.asarray(image).copy()
    height, width = levels.shape[:2]
    x0, y0, x1, y1 = np.rint(region * [width, height, width, height]).astype(int)
    levels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] ^= 0xFF
    return Image.fromarray(levels)


def some_players(geometry: Geometry) -> list[int]:
    """Corners, a player off the diagonal, and two in the middle."""
    rows, columns = geometry.rows, geometry.columns
    chosen = {
        0,
        columns - 1,
        (rows - 1) * columns,
        rows * columns - 1,
        columns // 3,
        (rows // 2) * columns + columns // 4,
    }
    return sorted(chosen)


def owner(change: np.ndarray, player_of_pixel: np.ndarray, n: int) -> int:
    """The player whose entries changed most."""
    return int(np.bincount(player_of_pixel.ravel() + 1, change.ravel(), n + 1)[1:].argmax())
