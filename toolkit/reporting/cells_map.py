"""The map of one explanation over the images: cells painted and outlined, and a frame where the model sees a part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from toolkit.datasets.sample import Sample
from toolkit.reporting.plots.maps import overlay
from toolkit.typing import Regions, Scores

SIDE = 384
ONE_IMAGE: Regions = np.array([[0.0, 0.0, 1.0, 1.0]])
"""Where the image lies that is the only one."""

MAX_LINED = 256
"""With more players than this the lines between them would hide the map."""


def fitted(image: Image.Image, side: int = SIDE) -> Image.Image:
    """Small enough for a page; a strip keeps at least one pixel in its short direction."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def canvas(sample: Sample, side: int = SIDE) -> Image.Image:
    """What maps are drawn on: the image, or all images side by side and twice as wide together."""
    return fitted(sample.sheet, side * min(2, len(sample.images)))


def seen_share(regions: Regions, boxes: Regions = ONE_IMAGE) -> float:
    """Share of the images that lies in any cell, in [0, 1]; below 1 where a model crops.

    Args:
        regions: Shape (n_cells, 4), fractions of the sheet of all images.
        boxes: Shape (n_images, 4): where the images lie on it.
    """
    return _area(regions) / _area(boxes)


def _area(regions: Regions) -> float:
    widths, heights = regions[:, 2] - regions[:, 0], regions[:, 3] - regions[:, 1]
    return float((widths * heights).sum())


def cells_map(
    image: Image.Image,
    scores: Scores,
    regions: Regions,
    *,
    largest: float | None = None,
    owners: NDArray[np.int64] | None = None,
    named: Sequence[int] = (),
    boxes: Regions = ONE_IMAGE,
) -> Image.Image:
    """The map over a picture in its own shape: players outlined, and a frame where the model sees only a part.

    Args:
        image: The picture; its size is the map's.
        scores: Shape (n_cells,).
        regions: Shape (n_cells, 4), fractions of the picture.
        largest: The size of the strongest colour; None takes the largest of these scores.
        owners: Shape (n_cells,): the player of each cell; None where each is a player of its own.
        named: Players whose number, from 1, is written on them.
        boxes: Shape (n_images, 4): where the images lie, if the picture is a sheet of several.
    """
    owners = np.arange(len(regions)) if owners is None else owners
    square = overlay(image, scores, regions, side=max(image.size), largest=largest)
    painted = square.resize(image.size, Image.Resampling.BOX).convert("RGBA")
    lines = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(lines)
    edges = np.rint(regions * [*image.size, *image.size]).astype(int)
    if len(np.unique(owners)) <= MAX_LINED:
        lines.paste((60, 66, 80, 90), mask=Image.fromarray(_borders(image.size, edges, owners)))
    for box, inside in zip(boxes, _of_boxes(regions, boxes), strict=True):
        if seen_share(regions[inside], box[None]) < 0.99:
            (x0, y0), (x1, y1) = edges[inside, :2].min(axis=0).tolist(), (edges[inside, 2:].max(axis=0) - 1).tolist()
            pen.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=(31, 36, 48, 255), width=2)
    for player in named:
        x, y = _middle(edges[owners == player])
        pen.text((x, y), str(player + 1), "#1f2430", anchor="mm", font_size=15, stroke_width=2, stroke_fill="white")
    return Image.alpha_composite(painted, lines).convert("RGB")


def _of_boxes(regions: Regions, boxes: Regions) -> NDArray[np.bool_]:
    """Which cells lie in which image, shape (n_images, n_cells)."""
    if len(boxes) == 1:
        return np.ones((1, len(regions)), dtype=np.bool_)
    middles = (regions[:, :2] + regions[:, 2:]) / 2
    is_in = (middles >= boxes[:, None, :2]) & (middles <= boxes[:, None, 2:])
    return np.asarray(is_in.all(axis=-1), dtype=np.bool_)


def _borders(size: tuple[int, int], edges: NDArray[np.int64], owners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels (height, width) whose right or lower neighbour belongs to another player."""
    owner = np.full((size[1] + 1, size[0] + 1), -1)
    for (x0, y0, x1, y1), player in zip(edges.tolist(), owners, strict=True):
        owner[y0:y1, x0:x1] = player
    here, right, below = owner[:-1, :-1], owner[:-1, 1:], owner[1:, :-1]
    return np.asarray((here != right) | (here != below), dtype=np.bool_)


def _middle(edges: NDArray[np.int64]) -> tuple[float, float]:
    """The middle of the cell of these (n, 4) that is nearest to the middle of them all."""
    centres = (edges[:, :2] + edges[:, 2:]) / 2
    x, y = centres[np.square(centres - centres.mean(axis=0)).sum(axis=1).argmin()].tolist()
    return x, y
