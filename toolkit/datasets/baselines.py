"""Baselines: what replaces a removed image, which is the image blurred, averaged or replaced by noise.

The paper blurs the original with a Gaussian of radius 30 pixels, about 1/16 of the short side of a COCO photograph;
whatever is larger than that stays recognisable, so "removed" is not removed. Our ``blur`` has a standard deviation of a
quarter of the short side, which leaves only broad colour; ``blur-paper`` is theirs, scaled to the picture.

Removed text has one meaning everywhere and is no baseline: the token is masked from attention, and every other token
keeps its position.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from toolkit.registry import Registry

BLUR_FRACTION = 1 / 4
PAPER_BLUR_FRACTION = 30 / 480

Baseline = Callable[[Image.Image], Image.Image]
BASELINES: Registry[Baseline] = Registry("baseline")


def _gaussian(image: Image.Image, fraction: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(fraction * min(image.size)))


def blur(image: Image.Image) -> Image.Image:
    """Gaussian blur with a standard deviation of 1/4 of the short side."""
    return _gaussian(image, BLUR_FRACTION)


def blur_paper(image: Image.Image) -> Image.Image:
    """Gaussian blur with a standard deviation of 1/16 of the short side: 30 pixels at 480, as in arXiv 2605.22168."""
    return _gaussian(image, PAPER_BLUR_FRACTION)


def mean(image: Image.Image) -> Image.Image:
    """Every pixel is the picture's mean colour."""
    r, g, b = (int(level) for level in np.asarray(image, dtype=np.float64).reshape(-1, 3).mean(axis=0))
    return Image.new("RGB", image.size, (r, g, b))


def noise(image: Image.Image) -> Image.Image:
    """Uniform noise on every channel, the same for every picture of one size."""
    levels = np.random.default_rng(0).integers(0, 256, (image.height, image.width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


for _name, _baseline in (("blur", blur), ("blur-paper", blur_paper), ("mean", mean), ("noise", noise)):
    BASELINES.add(_name, _baseline)
