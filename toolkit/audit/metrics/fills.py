"""Fills that no embedded model was trained on, for the rule that asks whether a ranking depends on the fill.

Importing this module registers them as baselines, beside those of ``toolkit.datasets.baselines``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from toolkit.datasets.baselines import BASELINES

GRID, N_OTHERS = 6, 8
TRAINED = ("blur", "mean", "noise")
"""What the embedded models saw in place of removed cells while they were trained."""

UNTRAINED = ("blur-paper", "other-images", "neighbours")
"""The paper's own blur and two fills of this module, which no training used."""


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


def shuffle(image: Image.Image) -> Image.Image:
    """The patches of a 6 x 6 grid in another order, the same one for every image."""
    size = (image.width // GRID * GRID, image.height // GRID * GRID)
    pixels = np.asarray(image.convert("RGB").resize(size))
    rows, columns = pixels.shape[0] // GRID, pixels.shape[1] // GRID
    patches = pixels.reshape(GRID, rows, GRID, columns, 3).swapaxes(1, 2).reshape(-1, rows, columns, 3)
    moved = patches[np.random.default_rng(0).permutation(len(patches))].reshape(GRID, GRID, rows, columns, 3)
    return Image.fromarray(moved.swapaxes(1, 2).reshape(pixels.shape)).resize(image.size)


def blur_eighth(image: Image.Image) -> Image.Image:
    """Gaussian blur with a standard deviation of 1/8 of the short side: between ``blur`` and ``blur-paper``."""
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / 8))


for _fill in (other_images, neighbours, shuffle, blur_eighth):
    BASELINES.add(_fill.__name__.replace("_", "-"), _fill)
