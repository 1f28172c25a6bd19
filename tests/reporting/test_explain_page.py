"""The explained answer's page: the map in the picture's own shape, and what a reader must know first."""

from __future__ import annotations

import numpy as np
from PIL import Image

from toolkit.reporting.explain_page import cells_map, reading_notes, seen_share
from toolkit.reporting.numbers import format_number
from toolkit.vlm.protocol import Answer

WHOLE = np.array([(x / 2, y / 2, (x + 1) / 2, (y + 1) / 2) for y in range(2) for x in range(2)])
CROPPED = WHOLE * [0.5, 1, 0.5, 1] + [0.25, 0, 0.25, 0]


def answer(**by_choice: float) -> Answer:
    text = max(by_choice, key=lambda word: by_choice[word]) if by_choice else "red"
    return Answer(text, by_choice.get(text, 0.5), (1,), by_choice)


def test_a_crop_is_told_and_framed() -> None:
    assert reading_notes(answer(yes=0.9, no=0.1), WHOLE) == []
    (note,) = reading_notes(answer(yes=0.9, no=0.1), CROPPED)
    assert note == "the model sees only the middle 50 % of this picture, the rest is cropped away"
    assert (seen_share(WHOLE), seen_share(CROPPED)) == (1.0, 0.5)
    white = Image.new("RGB", (80, 40), "white")
    drawn = np.asarray(cells_map(white, np.zeros(4), CROPPED), dtype=int)
    dark = np.argwhere(drawn.sum(axis=-1) < 200)
    assert dark.min(axis=0).tolist() == [0, 18]
    assert dark.max(axis=0).tolist() == [39, 61]
    assert np.asarray(cells_map(white, np.zeros(4), WHOLE)).min() > 180


def test_answers_that_the_model_would_not_give_are_told() -> None:
    (note,) = reading_notes(answer(A=0.02, B=0.01), WHOLE)
    assert note.startswith("the allowed answers together have a probability of 0.030; left alone, the model would say")
    assert reading_notes(answer(), WHOLE) == []  # a free answer is what the model says left alone


def test_the_map_has_the_pictures_shape_and_lines_between_few_cells_only() -> None:
    wide = Image.new("RGB", (90, 30), "white")
    drawn = np.asarray(cells_map(wide, np.zeros(4), WHOLE), dtype=int)
    assert drawn.shape == (30, 90, 3)
    assert drawn[10, 44].sum() < drawn[10, 20].sum()
    many = np.array([(x / 20, y / 20, (x + 1) / 20, (y + 1) / 20) for y in range(20) for x in range(20)])
    plain = np.asarray(cells_map(wide, np.zeros(400), many), dtype=int)
    assert np.ptp(plain) <= 12


def test_a_small_number_is_not_shown_as_nothing() -> None:
    assert [format_number(value) for value in (0.5, 0.001, 0.0004, -1.7e-5, 0.0, -0.0)] == [
        "0.500", "0.001", "4.0e-04", "-1.7e-05", "0.000", "0.000"
    ]  # fmt: skip
    assert format_number(1e-3, 4, sign=True) == "+0.0010"
    assert format_number(0.0, sign=True) == "0.000"
    (note,) = reading_notes(answer(yes=1.7e-5, no=1e-6), WHOLE)
    assert "a probability of 1.8e-05;" in note
