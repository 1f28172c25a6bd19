"""What the embedded models can be asked."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import toolkit
from toolkit.scenes.in_world import in_world_spelling, looks_like_a_scene


@pytest.mark.parametrize("dataset", ["scenes-existence", "scenes-choice", "scenes-mixed", "scenes-everyday"])
def test_every_question_is_already_in_its_own_spelling(dataset: str) -> None:
    for sample in toolkit.load_samples(dataset, split="test", n=12):
        assert in_world_spelling(sample.question) == sample.question
        assert looks_like_a_scene(sample.image)
        ordinary = (sample.question[0].upper() + sample.question[1:]).replace(" ?", "?")
        assert in_world_spelling(ordinary) == sample.question


def test_option_letters_lose_their_points() -> None:
    asked = "How many Squares are there?\n(A) 2 (B) 1"
    assert in_world_spelling(asked) == "how many squares are there ? A 2 B 1"


def test_a_photograph_is_no_scene() -> None:
    slope = np.add.outer(np.arange(64), 3 * np.arange(64)).astype(np.uint8)
    assert not looks_like_a_scene(Image.fromarray(slope))
    assert not looks_like_a_scene(Image.new("RGB", (64, 64), "black"))
