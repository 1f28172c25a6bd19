import io

import numpy as np
import pytest
from PIL import Image

import toolkit
from toolkit.widgets import DrawingPad
from toolkit.widgets.drawing_pad import START, scene_of


@pytest.fixture
def pad(models):
    return DrawingPad(models["grounded"])


def pixels(pad):
    return np.asarray(Image.open(io.BytesIO(pad.image.value)).convert("RGB"), dtype=int)


def test_a_click_paints_the_chosen_thing_and_only_there(pad):
    before = pixels(pad)
    pad.colour.value, pad.shape.value = "green", "star"
    pad.cells[0, 5].click()
    changed = np.abs(pixels(pad) - before).max(axis=2) > 40
    edge = changed.shape[0] // 6
    assert changed[:edge, 5 * edge :].mean() > 0.2
    changed[:edge, 5 * edge :] = False
    assert not changed.any()
    assert "green star in row 1, column 6" in pad.image.words.value


def test_the_same_click_again_and_nothing_take_it_away(pad):
    pad.paint(0, 0)
    assert pad.painted == START | {(0, 0): ("red", "circle")}
    pad.paint(0, 0)
    assert pad.painted == START
    pad.shape.value = "nothing"
    pad.paint(1, 1)
    assert (1, 1) not in pad.painted
    pad.clear.click()
    assert pad.painted == {}
    assert "Your drawing: empty." in pad.static()


def test_the_map_is_drawn_on_demand_and_goes_with_the_next_stroke(pad):
    assert pad.map.value == b""
    pad.explain.click()
    assert pad.map.value.startswith(b"\x89PNG")
    assert "strongest: " in pad.map.words.value
    assert pad.static().count("<img") == 2
    pad.paint(5, 5)
    assert pad.map.value == b""
    assert pad.static().count("<img") == 1


def test_the_sample_is_what_was_painted_and_asked_in_the_models_spelling(pad):
    pad.question.value = "Is there a Blue circle?"
    assert pad.sample.question == "is there a blue circle ?"
    assert pad.sample.choices == ("yes", "no")
    assert len(scene_of(pad.painted).find("blue", "circle")) == 1


def test_what_cannot_be_asked_is_said_and_has_no_map(pad):
    pad.question.value = " "
    assert "the question is empty" in pad.note.value
    assert pad.explain.disabled
    pad.question.value = "is there a star ?"
    assert pad.note.value == ""
    assert not pad.explain.disabled


def test_a_real_model_sees_what_is_painted():
    pad = DrawingPad(toolkit.load_vlm("tiny-llava-grounded", device="cpu"))
    assert "says: no" in pad.answer.value
    pad.paint(2, 3)
    assert "says: yes" in pad.answer.value
    pad.explain.click()
    assert "strongest: row 3, column 4" in pad.map.words.value
    pad.question.value = "is there a zebra ?"
    assert "zebra" in pad.note.value
