"""Open an image as upright RGB: a file, an array or a PIL image of any mode."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.Image import DecompressionBombError, DecompressionBombWarning

MAX_PIXELS = 64_000_000
"""Largest number of pixels that is decoded; read from the header, before any memory is spent on it."""

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""Formats that may be opened, whatever a file is called. Others are refused: some are drawn by outside programs (EPS by
Ghostscript), which no picture of a stranger should start."""

_NAMED = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 or PPM"

ImageSource = str | Path | Image.Image | NDArray[np.generic]


_DAMAGE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, IndexError, struct.error, zlib.error)
"""What Pillow raises for a damaged file, whatever the format."""


class ImageError(ValueError):
    """Something that cannot be used as a picture; the message names it and says what to do."""


def png_bytes(image: Image.Image, *, compress_level: int = -1) -> bytes:
    """The image as a PNG file; level 1 is quick, -1 is zlib's own choice."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=compress_level)
    return buffer.getvalue()


def open_image(source: ImageSource) -> Image.Image:
    """Open a picture as upright 8-bit RGB.

    The EXIF orientation is honoured, transparency is put on white, and of an animation the first frame is taken. 16-bit
    grey (mode ``I;16``) is scaled to 8 bits. Mode ``I`` has 32 bits and does not say how many of them are used: values
    up to 255 are read as 8 bits, larger ones up to 65535 as 16 bits. (A 16-bit picture without a value above 255 would
    be black all over, and ``datasets`` makes this mode of every array of integers.) The given image or array is never
    modified.

    Only files of the formats in ``FORMATS`` are opened.

    Args:
        source: A path, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4), uint8 or float in [0, 1].

    Raises:
        FileNotFoundError: The path does not exist.
        ImageError: Not a picture, of another format, truncated or damaged, larger than ``MAX_PIXELS``, or an array of
            another form.

    Example:
        >>> open_image(np.full((2, 3), 255, np.uint8)).size
        (3, 2)
    """
    if isinstance(source, np.ndarray):
        return _upright_rgb(_from_array(source), "the array")
    if isinstance(source, Image.Image):
        if source.format not in (None, *FORMATS):
            raise ImageError(f"the image was opened from the format {source.format}; save it as {_NAMED}")
        return _upright_rgb(source, "the image")
    if isinstance(source, str | Path):
        return _open_file(source)
    raise ImageError(f"expected a path, a PIL image or a numpy array, got {type(source).__name__}")


def decode_image(data: bytes, name: str) -> Image.Image:
    """Decode an encoded picture that lies in memory; ``name`` is what error messages call it.

    Raises:
        ImageError: As in ``open_image``.
    """
    return _decode(io.BytesIO(data), name)


def _open_file(source: str | Path) -> Image.Image:
    if not str(source).strip():
        raise ImageError("the picture's path is empty; give the path of a file")
    if str(source).startswith(("http://", "https://")):
        raise ImageError(f"{str(source)!r} is an address, not a file; download the picture first and give its path")
    try:
        path = Path(source).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"there is no picture {str(path)!r}") from None
    except (OSError, RuntimeError, ValueError) as error:  # too long, a user who does not exist, a zero byte
        raise ImageError(
            f"{str(source)[:200]!r} is not the path of a picture ({error}); give the path of a file"
        ) from error
    if path.is_dir():
        raise ImageError(f"{str(path)!r} is a folder; give one picture (for many: the dataset folder:PATH)")
    if not path.is_file():
        raise ImageError(f"{str(path)!r} is a pipe or a device; save the picture as a file first")
    return _decode(path, repr(str(path)))


def _decode(source: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DecompressionBombWarning)  # our own limit is lower
            Image.init()
            image = Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError as error:
        size = source.stat().st_size if isinstance(source, Path) else source.getbuffer().nbytes
        if size == 0:
            raise ImageError(f"{name} is an empty file; save or download it again") from error
        raise ImageError(f"{name} is not a picture of a known format; give a {_NAMED} file") from error
    except DecompressionBombError as error:
        raise ImageError(f"{name}: {_too_large()} ({error})") from error
    except (OSError, SyntaxError, ValueError, RuntimeError, struct.error) as error:
        raise ImageError(f"{name} cannot be read as a picture: {error}") from error
    with image:
        return _upright_rgb(image, name)


def _too_large(size: tuple[int, int] | None = None) -> str:
    got = f"{size[0]} x {size[1]} = {size[0] * size[1]:,} pixels" if size else "the picture"
    return f"{got} is more than the limit of {MAX_PIXELS:,} pixels; make it smaller first"


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    if 0 in image.size:
        raise ImageError(f"{name} is empty: {image.width} x {image.height} pixels; give one of at least 1 x 1")
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name}: {_too_large(image.size)}")
    try:
        image.load()
        return _rgb(ImageOps.exif_transpose(image), name)
    except ImageError:
        raise
    except _DAMAGE as error:
        raise ImageError(f"{name} is truncated or damaged: {error}; save or download it again") from error


def _rgb(image: Image.Image, name: str) -> Image.Image:
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _deep_grey(np.asarray(image), name).convert("RGB")
    if mode == "LAB":
        raise ImageError(f"{name} has colour mode LAB; save it as RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if mode == "RGB" else image.convert("RGB")


def _deep_grey(grey: NDArray[np.generic], name: str) -> Image.Image:
    values = grey.astype(np.float64)
    is_eight_bit = grey.dtype.kind == "i" and grey.max() <= 255  # mode I; mode I;16 is unsigned
    top = 1.0 if grey.dtype.kind == "f" else 255.0 if is_eight_bit else 65535.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise ImageError(
            f"{name} has grey values from {values.min():g} to {values.max():g}; expected 0 to {top:g}, "
            "scale it or save it with 8 or 16 bits"
        )
    return Image.fromarray((values / top * 255 + 0.5).astype(np.uint8))


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    wanted = "expected (H, W), (H, W, 3) or (H, W, 4), uint8 or float in [0, 1]"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; the channels stand first: use array.transpose(1, 2, 0)" if channels_first else ""
        raise ImageError(f"an array of shape {array.shape} is not a picture; {wanted}{hint}")
    if array.size == 0:
        raise ImageError(f"an array of shape {array.shape} is empty; {wanted}")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ImageError(_too_large((array.shape[1], array.shape[0])))
    if array.dtype == np.uint8:
        return Image.fromarray(array)
    if array.dtype.kind != "f":
        raise ImageError(f"an array of {array.dtype} is not a picture; {wanted}")
    values = array.astype(np.float64)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ImageError(f"float values run from {values.min():g} to {values.max():g}; {wanted}")
    return Image.fromarray((values * 255 + 0.5).astype(np.uint8))
