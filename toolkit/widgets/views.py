"""Pictures and words with some players removed, as PNG bytes and HTML, by pure functions."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.image_file import png_bytes
from toolkit.typing import Regions

INK, AGAINST = "#1f2430", "#8a8f98"
OUTLINE = (120, 124, 134)


def png(image: Image.Image) -> bytes:
    """A picture as PNG bytes, encoded for speed."""
    return png_bytes(image, compress_level=1)


def boxes(regions: Regions, side: int) -> NDArray[np.int64]:
    """Pixel edges x0, y0, x1, y1 of regions in a square picture, (n_regions, 4)."""
    return np.clip(np.rint(np.asarray(regions, dtype=np.float64) * side), 0, side).astype(np.int64)


def masked_image(
    image: Image.Image, regions: Regions, present: ArrayLike, *, baseline: str = "blur", side: int = 300
) -> Image.Image:
    """The picture at full sharpness with the regions of absent players replaced by the baseline and outlined.

    Args:
        image: The original.
        regions: Shape (n_image, 4), fractions of the picture.
        present: Shape (n_image,): which image players are there.
        baseline: Registry name of what an absent cell looks like.
        side: Side of the square result in pixels.

    Raises:
        ValueError: Not one region per image player.
    """
    kept = np.asarray(present, dtype=np.bool_)
    if kept.shape != (len(regions),):
        raise ValueError(f"{kept.shape} players for {len(regions)} regions; expected one each")
    shown = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    gone = BASELINES[baseline](image.convert("RGB")).resize((side, side), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(shown)
    absent = [tuple(int(edge) for edge in box) for box in boxes(regions, side)[~kept]]
    for x0, y0, x1, y1 in absent:
        shown.paste(gone.crop((x0, y0, x1, y1)), (x0, y0))
    for x0, y0, x1, y1 in absent:
        pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=OUTLINE)
    return shown


def words_html(words: Sequence[str], present: ArrayLike) -> str:
    """The question's words in order; removed ones are struck out and pale, and read out as removed."""
    kept = np.asarray(present, dtype=np.bool_)
    shown = []
    for word, here in zip(map(html.escape, words), kept, strict=True):
        style = f"color:{INK if here else AGAINST};padding:1px 4px"
        gone = f'<del aria-label="{word}, removed" style="{style}">{word}</del>'
        shown.append(f'<span style="{style}">{word}</span>' if here else gone)
    return f'<div style="font-size:15px;line-height:1.8">{"".join(shown)}</div>'


def bar_html(label: str, value: float, *, width: int = 300) -> str:
    """A probability as a bar with its number."""
    filled = round(float(np.clip(value, 0.0, 1.0)) * width)
    return (
        f'<div style="font-size:14px">{html.escape(label)} = <b>{value:.3f}</b>'
        f'<div aria-hidden="true" style="width:{width}px;height:10px;background:#e5e7eb">'
        f'<div style="width:{filled}px;height:10px;background:#0072B2"></div></div></div>'
    )


def plural(n: int, one: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{n} {one}" if n == 1 else f"{n} {one}s"
