"""What cells and words do together, to look at: a word lights its cells and a cell its words, without a script."""

from __future__ import annotations

import base64
import html
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.datasets.image_file import png_bytes
from toolkit.games.attribution import InteractionAttribution
from toolkit.reporting.numbers import format_number
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.maps import NOISE, centred, overlay, spliced
from toolkit.reporting.plots.style import DIVERGING, new_figure, styled
from toolkit.typing import PairScores, Regions

SIDE, COLUMNS = 384, 4


def pair_map_html(
    image: Image.Image, found: InteractionAttribution, regions: Regions, question: str, spans: Sequence[tuple[int, int]]
) -> str:
    """An image and a question of which every word and every cell shows its pairs while it is pointed at or focused.

    Orange: both together speak for the answer more than each alone; purple: less. Where nothing is pointed at, cells
    and words show their sums over all pairs. Screen readers hear the strongest pairs of what is focused.

    Args:
        image: What the cells cover.
        found: The pairs.
        regions: Shape (n_image, 4), fractions of the image.
        question: The text.
        spans: Character span of each word.

    Raises:
        ValueError: Not one region per cell and one span per word.

    Example:
        >>> import numpy as np, toolkit
        >>> players = toolkit.Players.make(("left", "right"), ("red",))
        >>> found = toolkit.InteractionAttribution.from_pairs([[0.5], [0.0]], players, "mine", "yes")
        >>> regions = np.array([[0.0, 0, 0.5, 1], [0.5, 0, 1, 1]])
        >>> drawn = pair_map_html(Image.new("RGB", (8, 8)), found, regions, "red", [(0, 3)])
        >>> drawn.count("<rect"), "left: red +0.500" in drawn
        (2, True)
    """
    players, pairs = found.players, found.pairs
    if (len(regions), len(spans)) != pairs.shape:
        raise ValueError(f"{len(regions)} regions and {len(spans)} spans for pairs of shape {pairs.shape}")
    cells = np.array(players.labels, dtype=object)[players.of("image")].tolist()
    words = [question[start:stop] for start, stop in spans]
    of_cell, of_word = _colours(pairs, pairs.sum(axis=1)), _colours(pairs.T, pairs.sum(axis=0))
    width = SIDE
    height = max(1, round(SIDE * image.height / image.width))
    rects = "".join(
        f'<rect class="cell c{i}" tabindex="0" role="img" aria-label="{_strongest(cells[i], words, pairs[i])}" '
        f'style="{of_cell[i]}" x="{x0 * width:.1f}" y="{y0 * height:.1f}" width="{(x1 - x0) * width:.1f}" '
        f'height="{(y1 - y0) * height:.1f}"/>'
        for i, (x0, y0, x1, y1) in enumerate(regions.tolist())
    )
    pieces = [
        f'<span class="word w{j}" tabindex="0" role="img" aria-label="{_strongest(word, cells, pairs[:, j])}" '
        f'style="{of_word[j]}">{html.escape(word)}</span>'
        for j, word in enumerate(words)
    ]
    scope = f"pairs-{zlib.crc32(found.explainer.encode() + pairs.tobytes()):08x}"
    grey = image.convert("L").resize((width, height)).point(lambda level: 90 + level * 165 // 255)
    source = base64.b64encode(png_bytes(grey)).decode()
    return (
        f'<div class="{scope}"><style>{_rules(scope, len(cells), len(words))}</style>'
        f'<svg viewBox="0 0 {width} {height}" width="{width}" style="max-width:100%;height:auto" '
        f'aria-label="Cells of the image; each says its strongest words">'
        f'<image href="data:image/png;base64,{source}" width="{width}" height="{height}"/>{rects}</svg>'
        f'<p class="question">{spliced(question, spans, pieces)}</p></div>'
    )


def _colours(rows: PairScores, sums: NDArray[np.float64]) -> list[str]:
    """Style of each row: ``--s`` is the colour of its sum, ``--0``, ``--1``, ... those of its pairs."""
    own, pairs = centred(sums), centred(rows)
    return [
        ";".join([f"--s:{_colour(own[i])}", *(f"--{j}:{_colour(value)}" for j, value in enumerate(pairs[i]))])
        for i in range(len(rows))
    ]


def _colour(value: float) -> str:
    red, green, blue = (int(255 * part) for part in DIVERGING((value + 1) / 2)[:3])
    return f"rgba({red},{green},{blue},{min(1.0, 0.85 * abs(value) ** 0.5):.2f})"


def _strongest(name: str, others: Sequence[str], values: NDArray[np.float64]) -> str:
    """A player and its three strongest pairs, for those who hear the page."""
    best = sorted(np.flatnonzero(np.abs(values) >= NOISE).tolist(), key=lambda at: -abs(values[at]))[:3]
    found = ", ".join(f"{others[at]} {format_number(float(values[at]), sign=True)}" for at in best)
    return html.escape(f"{name}: {found or 'no pairs'}")


def _rules(scope: str, n_cells: int, n_words: int) -> str:
    """Who lights whom: one rule for each player."""

    def lit(mine: Iterable[str], theirs: str, mark: str) -> str:
        return "".join(
            f".{scope}:has(.{one}:hover,.{one}:focus) .{theirs}{{{mark}:var(--{i})}}" for i, one in enumerate(mine)
        )

    outline = f".{scope} :is(.cell,.word):is(:hover,:focus)"
    return (
        f".{scope} .cell{{fill:var(--s);stroke:rgba(60,66,80,.35);cursor:pointer;outline:none}}"
        f".{scope} .word{{background:var(--s);padding:.1em .25em;border-radius:3px;cursor:pointer;outline:none;"
        "border:2px solid transparent}"
        f"{outline}{{stroke:#1f2430;stroke-width:3;border-color:#1f2430}}"
        + lit((f"w{j}" for j in range(n_words)), "cell", "fill")
        + lit((f"c{i}" for i in range(n_cells)), "word", "background")
    )


def pair_maps(
    image: Image.Image, found: InteractionAttribution, regions: Regions, question: str, spans: Sequence[tuple[int, int]]
) -> Drawing:
    """The same as a figure: one map of the cells for each word, all on one scale.

    Raises:
        ValueError: Not one region per cell and one span per word.
    """
    pairs = found.pairs
    if (len(regions), len(spans)) != pairs.shape:
        raise ValueError(f"{len(regions)} regions and {len(spans)} spans for pairs of shape {pairs.shape}")
    largest, n_rows = float(np.abs(pairs).max(initial=0.0)), -(-len(spans) // COLUMNS)
    words = [question[start:stop] for start, stop in spans]
    with styled():
        figure = new_figure(1.9 * COLUMNS, 2.15 * n_rows)
        axes = figure.subplots(n_rows, COLUMNS, squeeze=False).ravel()
        for each in axes:
            each.axis("off")
        for j, word in enumerate(words):
            axes[j].imshow(np.asarray(overlay(image, pairs[:, j], regions, largest=largest)))
            axes[j].set_title(f"{word} {format_number(float(pairs[:, j].sum()), sign=True)}")
    labels = np.array(found.players.labels, dtype=object)[found.players.of("image")]
    strongest = [(word, int(np.abs(pairs[:, j]).argmax()), j) for j, word in enumerate(words)]
    told = "; ".join(f"{word}: {labels[i]} {pairs[i, j]:+.3g}" for word, i, j in strongest if abs(pairs[i, j]) >= NOISE)
    return Drawing(
        figure, f"Cells that work together with each word, by {found.explainer}. Strongest: {told or 'none'}."
    )
