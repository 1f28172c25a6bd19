"""Anybody's picture becomes upright RGB, or a clear error that names it."""

from __future__ import annotations

import io
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from toolkit.datasets import ImageError, open_image
from toolkit.datasets.image_file import MAX_PIXELS, decode_image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def two_by_one() -> Image.Image:
    picture = Image.new("RGB", (2, 1), RED)
    picture.putpixel((1, 0), BLUE)
    return picture


def pixels(picture: Image.Image) -> list[list[tuple[int, ...]]]:
    array = np.asarray(picture)
    return [[tuple(int(c) for c in pixel) for pixel in row] for row in array]


def test_rgb_file_is_unchanged(tmp_path: Path, two_by_one: Image.Image) -> None:
    two_by_one.save(tmp_path / "a.png")
    opened = open_image(tmp_path / "a.png")
    assert opened.mode == "RGB"
    assert pixels(opened) == [[RED, BLUE]]


def test_a_given_image_is_not_modified(two_by_one: Image.Image) -> None:
    open_image(two_by_one).putpixel((0, 0), GREEN)
    assert pixels(two_by_one) == [[RED, BLUE]]


def test_exif_orientation_is_honoured(tmp_path: Path, two_by_one: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated: the viewer turns it by 90 degrees clockwise
    two_by_one.save(tmp_path / "turned.png", exif=exif)
    assert pixels(open_image(tmp_path / "turned.png")) == [[RED], [BLUE]]


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "tiff"), ("P", "png"), ("1", "png"), ("YCbCr", "tiff")])
def test_other_modes_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    if mode == "YCbCr" and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("before version 13 Pillow reads the small YCbCr TIFF that it wrote itself as truncated")
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(tmp_path / f"a.{suffix}")
    opened = open_image(tmp_path / f"a.{suffix}")
    assert (opened.mode, opened.size, opened.getpixel((0, 0))) == ("RGB", (4, 3), (255, 255, 255))


def test_cmyk_keeps_its_colour() -> None:
    opened = open_image(Image.new("CMYK", (1, 1), (0, 255, 255, 0)))
    assert opened.getpixel((0, 0)) == RED


def test_lab_is_refused() -> None:
    with pytest.raises(ImageError, match="colour mode LAB; save it as RGB"):
        open_image(Image.new("LAB", (2, 2)))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_grey_is_scaled_not_cut(tmp_path: Path, suffix: str) -> None:
    grey = np.array([[0, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / f"deep.{suffix}")
    opened = open_image(tmp_path / f"deep.{suffix}")
    assert [pixel[0] for pixel in pixels(opened)[0]] == [0, 128, 255]


def test_thirty_two_bits_of_grey_are_as_many_as_they_need() -> None:
    """``datasets`` makes mode I of arrays of integers; read as 16 bits, a light grey of 200 would be black."""

    def greys(values: list[int]) -> list[int]:
        return [pixel[0] for pixel in pixels(open_image(Image.fromarray(np.array([values], dtype=np.int32))))[0]]

    assert greys([0, 200, 255]) == [0, 200, 255]
    assert greys([0, 32896, 65535]) == [0, 128, 255]
    assert greys([0, 256]) == [0, 1]


def test_dark_grey_of_sixteen_bits_stays_dark() -> None:
    deep = Image.fromarray(np.array([[0, 200]], dtype=np.uint16))
    assert deep.mode == "I;16"
    assert [pixel[0] for pixel in pixels(open_image(deep))[0]] == [0, 1]


@pytest.mark.parametrize("kind", ["EPS", "PCX", "ICO"])
def test_only_named_formats_are_opened_whatever_the_file_is_called(tmp_path: Path, kind: str) -> None:
    picture = Image.new("RGB", (32, 32), RED)
    picture.save(tmp_path / "other.bin", format=kind)
    (tmp_path / "other.bin").rename(tmp_path / "other.png")
    with pytest.raises(ImageError, match=r"other\.png' is not a picture of a known format; give a PNG, JPEG, .* PPM"):
        open_image(tmp_path / "other.png")
    with pytest.raises(ImageError, match="row 7 is not a picture"):
        decode_image((tmp_path / "other.png").read_bytes(), "row 7")
    with Image.open(tmp_path / "other.png") as opened, pytest.raises(ImageError, match=f"from the format {kind}"):
        open_image(opened)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_named_formats_are_opened(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (32, 32), RED).save(tmp_path / "a.bin", format=kind)
    assert open_image(tmp_path / "a.bin").size == (32, 32)


def test_grey_beyond_sixteen_bits_is_refused() -> None:
    with pytest.raises(ImageError, match="grey values from 0 to 70000; expected 0 to 65535"):
        open_image(Image.fromarray(np.array([[0, 70_000]], dtype=np.int32)))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_put_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (1, 1), (0, 0, 0, 0)).convert(mode)
    assert open_image(clear).getpixel((0, 0)) == (255, 255, 255)
    half = open_image(Image.new("RGBA", (1, 1), (0, 0, 0, 128)).convert(mode))
    assert half.getpixel((0, 0)) == (127, 127, 127)


def test_palette_transparency_is_put_on_white(tmp_path: Path) -> None:
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([10, 20, 30] + [0] * 765)
    palette.save(tmp_path / "p.png", transparency=0)
    assert open_image(tmp_path / "p.png").getpixel((0, 0)) == (255, 255, 255)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "a.gif").getpixel((1, 1)) == RED


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10)])
def test_extreme_sizes_are_opened(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, GREEN).save(tmp_path / "a.png")
    assert open_image(tmp_path / "a.png").size == size


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
def test_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    whole = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole, format={"jpg": "jpeg"}.get(suffix, suffix))
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(ImageError, match=rf"cut\.{suffix}.*(truncated|damaged|cannot be read|not a picture)"):
        open_image(cut)


@pytest.mark.parametrize("content", [b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4"])
def test_not_a_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.png").write_bytes(content)
    (tmp_path / "nothing.png").touch()
    with pytest.raises(ImageError, match=r"nothing\.png' is an empty file; save or download it again"):
        open_image(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match=r"notes\.png' is not a picture of a known format"):
        open_image(tmp_path / "notes.png")


def test_missing_file_folder_and_address(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no picture .*gone\.png"):
        open_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="is a folder"):
        open_image(tmp_path)
    with pytest.raises(ImageError, match="the picture's path is empty; give the path of a file"):
        open_image(" ")
    with pytest.raises(ImageError, match="download the picture first"):
        open_image("https://example.org/a.png")
    with pytest.raises(ImageError, match="got int"):
        open_image(3)  # type: ignore[arg-type]


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_decompression_bomb_is_refused_before_decoding(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(ImageError, match=rf"bomb\.png.*more than the limit of {MAX_PIXELS:,} pixels"):
        open_image(tmp_path / "bomb.png")


def test_bytes_in_memory_are_named_by_the_caller() -> None:
    with pytest.raises(ImageError, match="row 7 is not a picture"):
        decode_image(b"nothing", "row 7")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), (7, 7, 7)),
        (np.full((2, 3), 0.5, np.float32), (128, 128, 128)),
        (np.full((2, 3, 3), 1.0), (255, 255, 255)),
        (np.full((2, 3, 4), 0.0), (255, 255, 255)),
        (np.zeros((2, 3, 3), np.uint8), (0, 0, 0)),
    ],
)
def test_arrays(array: np.ndarray, expected: tuple[int, int, int]) -> None:
    opened = open_image(array)
    assert (opened.mode, opened.size, opened.getpixel((2, 1))) == ("RGB", (3, 2), expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 8)), r"shape \(3, 8, 8\).*channels stand first"),
        (np.zeros((8, 8, 2)), r"shape \(8, 8, 2\)"),
        (np.zeros(8), r"shape \(8,\)"),
        (np.zeros((2, 0, 3), np.uint8), "is empty"),
        (np.zeros((4, 4), np.int64), "array of int64"),
        (np.zeros((4, 4), np.bool_), "array of bool"),
        (np.full((4, 4), 255.0), "run from 255 to 255"),
        (np.full((4, 4), np.nan), "run from nan"),
        (np.array([["a"]]), "array of <U1"),
    ],
)
def test_arrays_of_another_form_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        open_image(array)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe would be waited for, for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match=f"'{path}' is a pipe or a device; save the picture as a file first"):
            open_image(path)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody-of-this-name/a.png"])
def test_a_path_that_no_file_can_have_is_named(name: str) -> None:
    with pytest.raises(ImageError, match="is not the path of a picture .* give the path of a file"):
        open_image(name)


KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_bytes_are_a_picture_or_an_error_of_ours(kind: str) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    rng = np.random.default_rng(len(kind))
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(buffer, kind)
    for number in range(150):
        data = bytearray(buffer.getvalue())
        data[rng.integers(len(data))] = rng.integers(256)
        data = data[: rng.integers(1, len(data) + 1)] if number % 3 == 0 else data
        with suppress(ImageError):
            assert decode_image(bytes(data), "it").mode == "RGB"


@pytest.mark.parametrize("size", [(-4, 4), (4, -(2**31)), (-(2**31), -(2**31)), (2**31 - 1, 2**31 - 1)])
def test_sizes_of_a_header_that_no_picture_has(size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    data[18:26] = struct.pack("<ii", *size)
    with pytest.raises(ImageError, match="it: the picture is more than the limit"):
        decode_image(bytes(data), "it")
