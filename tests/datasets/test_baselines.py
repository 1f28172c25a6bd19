"""Baselines: what is left of a picture when everything is removed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from toolkit.datasets.baselines import BASELINES
from toolkit.registry import UnknownNameError


def dot(side: int) -> Image.Image:
    """A red dot, a sixth of the picture wide, on white."""
    levels = np.full((side, side, 3), 255, dtype=np.uint8)
    a, b = side // 2, side // 2 + side // 6
    levels[a:b, a:b] = [255, 0, 0]
    return Image.fromarray(levels)


@pytest.mark.parametrize("name", ["blur", "blur-paper", "mean", "noise"])
def test_size_and_mode_stay_and_the_picture_is_untouched(name: str) -> None:
    picture = dot(90)
    before = picture.tobytes()
    removed = BASELINES[name](picture)
    assert (removed.size, removed.mode) == ((90, 90), "RGB")
    assert picture.tobytes() == before
    assert removed.tobytes() == BASELINES[name](picture).tobytes()


@pytest.mark.parametrize(("name", "most"), [("blur", 0.12), ("blur-paper", 0.9)])
def test_blur_scales_with_the_picture(name: str, most: float) -> None:
    left = [
        1 - np.asarray(BASELINES[name](dot(side)))[side * 7 // 12, side * 7 // 12, 1] / 255 for side in (96, 384, 768)
    ]
    assert max(left) < most
    assert max(left) - min(left) < 0.04


def test_the_papers_blur_leaves_what_ours_removes() -> None:
    def contrast(name: str) -> float:
        levels = np.asarray(BASELINES[name](dot(480)), dtype=float)[..., 1]
        return levels.max() - levels.min()

    assert contrast("blur-paper") > 4 * contrast("blur")


def test_mean_is_the_mean() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    removed = np.asarray(BASELINES["mean"](Image.fromarray(levels)), dtype=float)
    assert np.abs(removed - levels.reshape(-1, 3).mean(axis=0)).max() <= 1
    assert removed.std(axis=(0, 1)).max() == 0


def test_noise_does_not_depend_on_the_content() -> None:
    assert BASELINES["noise"](dot(60)).tobytes() == BASELINES["noise"](Image.new("RGB", (60, 60))).tobytes()
    assert np.asarray(BASELINES["noise"](dot(60))).std() > 60


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'blur'"):
        BASELINES["blurr"]
