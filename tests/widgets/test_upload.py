import io

import pytest
from PIL import Image

from toolkit.widgets import ImageUpload
from toolkit.widgets.upload import uploaded


def png():
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(file, "PNG")
    return file.getvalue()


def given(widget, content, name="mine.png"):
    widget.upload = type("Chosen", (), {"value": ({"name": name, "content": memoryview(content)},)})()


@pytest.fixture
def widget(models):
    return ImageUpload(models["grounded"], "is it red ?")


def test_both_versions_of_ipywidgets_are_read():
    assert uploaded({"a.png": {"metadata": {}, "content": b"x"}}) == ("a.png", b"x")
    assert uploaded(({"name": "../a.png", "content": memoryview(b"x")},)) == ("a.png", b"x")
    assert uploaded(()) is None
    assert uploaded({}) is None


def test_the_model_answers_about_the_image(widget):
    given(widget, png())
    widget.ask.click()
    assert widget.sample.question == "is it red ?"
    assert "says: " in widget.reply.value
    assert "data:image/png" in widget.static()


def test_what_is_no_image_is_named_and_the_last_sample_stays(widget):
    given(widget, b"%PDF-1.7 nothing to see", "essay.png")
    widget.ask.click()
    assert "essay.png" in widget.reply.value
    assert "/tmp" not in widget.reply.value
    assert widget.sample is None


def test_without_a_file_it_says_what_to_do(widget):
    widget.ask.click()
    assert "choose an image first" in widget.reply.value
    assert "you upload an image here" in ImageUpload(widget.vlm).static()
