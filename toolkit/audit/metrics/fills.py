"""Fills that no embedded model was trained on, for the rule that asks whether a ranking depends on the fill.

Importing this module registers them as baselines, beside those of ``toolkit.datasets.baselines``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

from toolkit.datasets.baselines import BASELINES

GRID, N_OTHERS = 6, 8
UNTRAINED = ("blur-paper", "other-images", "neighbours")
"""The paper's own blur, then the two fills of this module. Training used blur, mean and noise."""


@cache
def _others(size: tuple[int, int]) -> list[Image.Image]:
    """Images of the embedded world that no rule asks about."""
    from toolkit.scenes import load

    return [s.image.convert("RGB").resize(size) for s in load("scenes-existence", "train", N_OTHERS, seed=1)]


def other_images(image: Image.Image) -> Image.Image:
    """Each patch of a 6 x 6 grid is the same patch of another image, the same one for every image of a size."""
    others = np.stack([np.asarray(other) for other in _others(image.size)])
    rows, columns = (np.arange(n) * GRID // n for n in (image.height, image.width))
    which = np.random.default_rng(0).integers(N_OTHERS, size=(GRID, GRID))[rows[:, None], columns[None]]
    return Image.fromarray(np.take_along_axis(others, which[None, :, :, None], axis=0)[0])


def neighbours(image: Image.Image) -> Image.Image:
    """Each patch of a 6 x 6 grid is the mean colour of the up to eight patches around it."""
    means = np.asarray(image.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float64)
    around = np.ones((3, 3, 1))
    around[1, 1] = 0
    counts = ndimage.convolve(np.ones((GRID, GRID, 1)), around, mode="constant")
    filled = ndimage.convolve(means, around, mode="constant") / counts
    small = Image.fromarray(np.rint(filled).astype(np.uint8))
    return small.resize(image.size, Image.Resampling.NEAREST)


for _name, _fill in (("other-images", other_images), ("neighbours", neighbours)):
    BASELINES.add(_name, _fill)
