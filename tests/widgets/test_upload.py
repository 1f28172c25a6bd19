import io
import struct
import zlib

import numpy as np
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


def huge():
    """The header of a PNG of 100 megapixels; what follows is cut off."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"")
    parts = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, body)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


NO_IMAGES = {
    "essay.png": (b"Dear teacher, my picture is words.", "is not a picture of a known format; give a PNG, JPEG"),
    "essay.pdf.png": (b"%PDF-1.7 nothing to see", "is not a picture of a known format"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "is not a picture of a known"),
    "empty.png": (b"", "is an empty file; save or download it again"),
    "huge.png": (huge(), "10000 x 10000 = 100,000,000 pixels is more than the limit of 64,000,000 pixels"),
    "cut.png": (png()[:60], "is truncated or damaged"),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_named_in_one_sentence_and_the_last_sample_stays(widget, name):
    content, problem = NO_IMAGES[name]
    given(widget, png())
    widget.ask.click()
    last = widget.sample
    given(widget, content, name)
    widget.ask.click()
    assert name in widget.reply.value
    assert problem in widget.reply.value
    assert "/tmp" not in widget.reply.value
    assert "Error" not in widget.reply.value
    assert widget.sample is last is not None


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


IMAGES = {
    "two frames.gif": saved(
        Image.new("RGB", (8, 8), "red"), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")]
    ),
    "print.jpg": saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95),
    "deep.png": saved(Image.fromarray(np.full((8, 8), 65535, np.uint16)), "PNG"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_unusual_images_are_shown_as_they_look(widget, name):
    given(widget, IMAGES[name], name)
    widget.ask.click()
    assert "says: " in widget.reply.value
    wanted = (255, 255, 255) if name == "deep.png" else (255, 0, 0)
    assert np.allclose(widget.sample.image.getpixel((4, 4)), wanted, atol=4)


def test_without_a_file_it_says_what_to_do(widget):
    widget.ask.click()
    assert "choose an image first" in widget.reply.value
    assert "you upload an image here" in ImageUpload(widget.vlm).static()
