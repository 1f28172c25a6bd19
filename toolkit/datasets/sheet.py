"""Several images as one to look at: side by side, each under its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from toolkit.typing import Regions

_HEIGHT, _STRIP, _GAP = 384, 32, 16
"""Pixels of a sheet: the images' height, the numbers' above them, and between two images."""

_WIDEST = 3
"""An image that is longer than so many times its height is made smaller until it is not."""


def sheet_of(images: Sequence[Image.Image]) -> Image.Image:
    """The images from left to right, brought to one height, each under its number; one image is itself.

    Example:
        >>> from PIL import Image
        >>> sheet_of([Image.new("RGB", (96, 96)), Image.new("RGB", (48, 96))]).size
        (592, 416)
    """
    if len(images) == 1:
        return images[0]
    places, size = _layout(images)
    found = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(found)
    for number, (image, (x, y, width, height)) in enumerate(zip(images, places, strict=True), start=1):
        found.paste(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS), (x, y))
        pen.text((x + width / 2, _STRIP / 2), str(number), "#1f2430", anchor="mm", font_size=_STRIP * 3 // 4)
    return found


def boxes_on_sheet(images: Sequence[Image.Image]) -> Regions:
    """Where each image lies on the sheet: x0, y0, x1, y1 as fractions of it, shape (n_images, 4).

    Example:
        >>> from PIL import Image
        >>> boxes_on_sheet([Image.new("RGB", (96, 96))]).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    if len(images) == 1:
        return np.array([[0.0, 0.0, 1.0, 1.0]])
    places, (full_width, full_height) = _layout(images)
    corners = [(x, y, x + width, y + height) for x, y, width, height in places]
    return np.array(corners) / [full_width, full_height, full_width, full_height]


def onto_sheet(regions: Regions, box: Regions) -> Regions:
    """Regions (n, 4) of an image as regions of the sheet, of the image's own box (4,) there."""
    if box.tolist() == [0.0, 0.0, 1.0, 1.0]:
        return regions
    corner, size = np.tile(box[:2], 2), np.tile(box[2:] - box[:2], 2)
    return np.asarray(corner + size * regions)


def _layout(images: Sequence[Image.Image]) -> tuple[list[tuple[int, int, int, int]], tuple[int, int]]:
    """x, y, width and height of each image in pixels, and the size of the sheet."""
    places, x = [], 0
    for image in images:
        scale = min(_HEIGHT / image.height, _WIDEST * _HEIGHT / image.width)
        width, height = max(1, round(scale * image.width)), max(1, round(scale * image.height))
        places.append((x, _STRIP, width, height))
        x += width + _GAP
    return places, (x - _GAP, _STRIP + _HEIGHT)
