"""Attribution maps: cells over the picture, colours under the words, and a ranked table beside both.

Every map is centred on zero: orange speaks for the answer, purple against it, and no colour means nothing either way.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import DIVERGING, new_figure, styled
from toolkit.typing import Regions, Scores

NOISE = 1e-6
"""Sizes below this are rounding noise of a probability in single precision: they are drawn as nothing."""

FAINTEST = 0.005
"""Shares of the largest size below this have no sign that could be seen."""


def centred(scores: ArrayLike, largest: float | None = None) -> Scores:
    """Scores divided by their largest size, so that they lie in [-1, 1] and 0 stays 0; rounding noise becomes 0.

    Args:
        scores: Any shape.
        largest: What to divide by, for several maps on one scale; None takes the largest size of these scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    largest = float(np.abs(values).max(initial=0.0)) if largest is None else largest
    return np.clip(values / largest, -1.0, 1.0) if largest >= NOISE else np.zeros_like(values)


def heat(scores: ArrayLike, regions: Regions, size: int = 96) -> NDArray[np.float64]:
    """Scores painted into their regions, (size, size); where regions overlap, their mean; NaN where there is none.

    Args:
        scores: Shape (n_image,).
        regions: Shape (n_image, 4): x0, y0, x1, y1 as fractions of the picture.
        size: Side in pixels.

    Raises:
        ValueError: Not one region per score.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (len(regions),):
        raise ValueError(f"{values.shape} scores for {len(regions)} regions; expected one each")
    total, count = np.zeros((size, size)), np.zeros((size, size))
    edges = np.clip(np.round(np.asarray(regions, dtype=np.float64) * size).astype(int), 0, size)
    for value, (x0, y0, x1, y1) in zip(values, edges, strict=True):
        total[y0:y1, x0:x1] += value
        count[y0:y1, x0:x1] += 1
    with np.errstate(invalid="ignore"):
        return total / np.where(count > 0, count, np.nan)


def overlay(
    image: Image.Image, scores: ArrayLike, regions: Regions, *, side: int = 192, largest: float | None = None
) -> Image.Image:
    """The picture in faint grey under its map; the stronger a score, the less of the picture shines through."""
    grey = np.asarray(image.convert("L").resize((side, side)), dtype=np.float64) / 255
    back = np.repeat((0.35 + 0.65 * grey)[:, :, None], 3, axis=2)
    painted = np.nan_to_num(heat(centred(scores, largest), regions, side))
    colours = np.asarray(DIVERGING((painted + 1) / 2))[:, :, :3]
    opacity = 0.15 + 0.7 * np.abs(painted)[:, :, None]
    mixed = back * (1 - opacity) + colours * opacity
    return Image.fromarray(np.round(mixed * 255).astype(np.uint8), "RGB")


def ink_on(colour: Sequence[float]) -> str:
    """White on a dark background, nearly black on a light one; red, green, blue in [0, 1]."""
    red, green, blue = colour[:3]
    return "#fff" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.47 else "#111"


def tokens_html(
    question: str, spans: Sequence[tuple[int, int]], scores: ArrayLike, *, largest: float | None = None
) -> str:
    """The question with each token on its colour; the line under it says the sign too (solid for, dotted against).

    Args:
        question: The text.
        spans: Character span of each token in the text.
        scores: Shape (n_text,).
        largest: The size of the strongest colour; None takes the largest of these scores.

    Raises:
        ValueError: Not one span per score.
    """
    values = centred(scores, largest)
    if len(spans) != len(values):
        raise ValueError(f"{len(spans)} spans for {len(values)} scores; expected one each")
    pieces = []
    for (start, stop), value, score in zip(spans, values, np.asarray(scores, dtype=np.float64), strict=True):
        red, green, blue = (int(255 * part) for part in np.asarray(DIVERGING((value + 1) / 2))[:3])
        ink = ink_on((red / 255, green / 255, blue / 255))
        line = "none" if abs(value) < FAINTEST else "solid" if value > 0 else "dotted"
        pieces.append(
            f'<span class="token" title="{score:+.3g}" style="background:rgb({red},{green},{blue});color:{ink};'
            f'border-bottom:2px {line} {ink};padding:0 .2em;border-radius:3px">'
            f"{html.escape(question[start:stop])}</span>"
        )
    return spliced(question, spans, pieces)


def spliced(question: str, spans: Sequence[tuple[int, int]], pieces: Sequence[str]) -> str:
    """The question as HTML, with a piece of HTML in the place of each span."""
    parts, end = [], 0
    for (start, stop), piece in sorted(zip(spans, pieces, strict=True), key=lambda item: item[0]):
        parts += [html.escape(question[end:start]), piece]
        end = stop
    return "".join([*parts, html.escape(question[end:])])


def ranked_players(labels: Sequence[str], scores: ArrayLike, *, n: int = 5) -> list[tuple[str, float]]:
    """The n players with the largest size of score, largest first: the table beside a map."""
    values = np.asarray(scores, dtype=np.float64)
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels for {len(values)} scores; expected one each")
    order = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    return [(labels[i], float(values[i])) for i in order[:n]]


def attribution_map(
    image: Image.Image,
    image_scores: ArrayLike,
    regions: Regions,
    words: Sequence[str],
    text_scores: ArrayLike,
    *,
    title: str = "",
    width: float = 6.4,
) -> Drawing:
    """The picture, its map, and the question's tokens as bars from zero, side by side.

    Args:
        image: The picture.
        image_scores: Shape (n_image,).
        regions: Shape (n_image, 4), fractions of the picture.
        words: The tokens of the question.
        text_scores: Shape (n_text,).
        title: Title above the picture.
        width: Inches.
    """
    texts = np.asarray(text_scores, dtype=np.float64)
    with styled():
        figure = new_figure(width, max(width / 3 + 0.4, 0.9 + 0.2 * len(words)))
        left, middle, right = figure.subplots(1, 3)
        left.imshow(image.convert("RGB"))
        middle.imshow(overlay(image, image_scores, regions))
        for axes, name in ((left, title or "picture"), (middle, "cells")):
            axes.set_title(name, loc="left")
            axes.axis("off")
        colours = DIVERGING((centred(texts) + 1) / 2)
        right.barh(range(len(words)), texts, color=colours, edgecolor="#555", linewidth=0.6)
        right.axvline(0, color="#555", linewidth=0.8)
        right.set_yticks(range(len(words)), list(words))
        right.set_ylim(len(words) - 0.4, -0.6)
        right.grid(visible=False, axis="y")
        right.set_title("words", loc="left")
    cells = ranked_players([f"cell {i}" for i in range(len(regions))], image_scores, n=3)
    tokens = ranked_players(list(words), texts, n=3)
    said = ", ".join(f"{name} {value:+.3g}" for name, value in [*cells, *tokens])
    return Drawing(figure, f"Attribution map{': ' + title if title else ''}. Largest scores: {said}.")
