"""The map over the images: their own shape, lines between players, a frame, one scale."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toolkit.reporting.cells_map import cells_map, seen_share

WHOLE = np.array([(x / 2, y / 2, (x + 1) / 2, (y + 1) / 2) for y in range(2) for x in range(2)])
CROPPED = WHOLE * [0.5, 1, 0.5, 1] + [0.25, 0, 0.25, 0]


def test_a_crop_is_framed() -> None:
    assert (seen_share(WHOLE), seen_share(CROPPED)) == (1.0, 0.5)
    white = Image.new("RGB", (80, 40), "white")
    drawn = np.asarray(cells_map(white, np.zeros(4), CROPPED), dtype=int)
    dark = np.argwhere(drawn.sum(axis=-1) < 200)
    assert dark.min(axis=0).tolist() == [0, 18]
    assert dark.max(axis=0).tolist() == [39, 61]
    assert np.asarray(cells_map(white, np.zeros(4), WHOLE)).min() > 180


def test_the_map_has_the_pictures_shape_and_lines_between_few_cells_only() -> None:
    wide = Image.new("RGB", (90, 30), "white")
    drawn = np.asarray(cells_map(wide, np.zeros(4), WHOLE), dtype=int)
    assert drawn.shape == (30, 90, 3)
    assert drawn[10, 44].sum() < drawn[10, 20].sum()
    many = np.array([(x / 20, y / 20, (x + 1) / 20, (y + 1) / 20) for y in range(20) for x in range(20)])
    plain = np.asarray(cells_map(wide, np.zeros(400), many), dtype=int)
    assert np.ptp(plain) <= 12


def test_maps_on_one_scale_are_as_strong_as_their_scores() -> None:
    white = Image.new("RGB", (60, 60), "white")
    strong, weak = (np.asarray(cells_map(white, np.array([s, 0, 0, 0]), WHOLE, largest=0.8)) for s in (0.8, 0.08))
    alone = np.asarray(cells_map(white, np.array([0.08, 0, 0, 0]), WHOLE))
    assert np.array_equal(alone, strong)  # by itself each map would use its own scale
    assert weak[15, 15].astype(int).sum() > strong[15, 15].astype(int).sum() + 100


def test_segments_are_outlined_by_themselves_and_numbered_where_they_lie() -> None:
    image, owners = Image.new("RGB", (80, 80), "white"), np.array([0, 0, 0, 1])
    plain = np.asarray(cells_map(image, np.zeros(4), WHOLE, owners=owners), dtype=int).sum(axis=-1)
    assert np.ptp(plain[:38, :78]) == 0  # no line between two cells of one segment
    assert plain[60, 39] < plain[60, 60]
    assert plain[39, 60] < plain[60, 60]
    numbered = np.asarray(cells_map(image, np.zeros(4), WHOLE, owners=owners, named=[1]), dtype=int).sum(axis=-1)
    changed = np.argwhere(numbered != plain)
    assert (changed.mean(axis=0) // 40).tolist() == [1, 1]
    assert changed.min() > 40
