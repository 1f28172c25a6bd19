"""Fills that no model was trained on: what each of them is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from toolkit.audit.metrics.fills import GRID, TRAINED, UNTRAINED, blur_eighth, shuffle
from toolkit.datasets.baselines import BASELINES

PATCHES = np.arange(GRID * GRID, dtype=np.uint8).reshape(GRID, GRID)
IMAGE = Image.fromarray(PATCHES.repeat(16, 0).repeat(16, 1)).convert("RGB")


def test_shuffle_moves_whole_patches_and_nothing_else() -> None:
    moved = np.asarray(shuffle(IMAGE))[..., 0]
    assert moved.shape == (96, 96)
    patches = moved.reshape(GRID, 16, GRID, 16).swapaxes(1, 2).reshape(GRID * GRID, -1)
    assert (np.ptp(patches, axis=1) == 0).all()
    assert sorted(patches[:, 0].tolist()) == PATCHES.ravel().tolist()
    assert (patches[:, 0] != PATCHES.ravel()).mean() > 0.9
    assert shuffle(IMAGE.resize((97, 95))).size == (97, 95)


def test_the_blurs_are_a_ladder() -> None:
    dot = Image.fromarray(np.pad(np.full((4, 4), 255, np.uint8), 46)).convert("RGB")
    peaks = [np.asarray(fill(dot)).max() for fill in (BASELINES["blur"], blur_eighth, BASELINES["blur-paper"])]
    assert peaks == sorted(peaks)
    assert peaks[0] < peaks[1] < peaks[2]


@pytest.mark.parametrize("name", [*TRAINED, *UNTRAINED, "shuffle", "blur-eighth"])
def test_every_fill_has_a_name_and_keeps_the_size(name: str) -> None:
    assert BASELINES[name](IMAGE).size == IMAGE.size
