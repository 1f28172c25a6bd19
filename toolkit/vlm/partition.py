"""Players that a person can use: groups of an image's cells, and whole words instead of tokens.

A partition is written ``"tokens"`` (every image token, every question token), ``"words"`` (every image token, whole
words), ``"grid:RxC"`` (R rows and C columns of cells merged, whole words) or ``"segments:N"`` (about N segments of the
image, whole words). Nothing here asks a model: a partition is made from a sample's view, and a grouped game is the
quotient of the game of tokens, so that values are shared between partitions.

Source of the segments: SLIC, Achanta et al., 2012, doi 10.1109/TPAMI.2012.120, through scikit-image (extra
``segments``).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.datasets.sheet import onto_sheet
from toolkit.games.game import Players
from toolkit.typing import Coalitions, PairScores, Regions, Scores

LARGEST_GRID = 12
"""Rows and columns of the grid that is taken where nobody chooses; an image with fewer cells keeps them."""

_GRID, _SEGMENTS = re.compile(r"grid:(\d+)x(\d+)"), re.compile(r"segments:(\d+)")
_SIDE = 256
"""Longest side in pixels of the image that is segmented."""

_COMPACTNESS = (10.0, 100.0, 1000.0)
"""How much SLIC weighs place against colour: the first with which an image has half as many segments as asked for."""

Span = tuple[int, int]


class PlayersError(ValueError):
    """Players that cannot be made; the message says what can."""


@dataclass(frozen=True)
class Partition:
    """Every cell and token of a sample belongs to one player.

    Attributes:
        name: As it is written, with the numbers that were taken.
        players: The players, image before text.
        player_of: Shape (n_tokens,): the player of each image token and then of each question token.
        regions: Shape (n_image, 4): the smallest box around each image player, in fractions of ``Sample.sheet``, which
            is the image itself where there is one.
        spans: Character span in the question of each text player.
        token_regions: Shape (n_image_tokens, 4): where each image token lies there.
    """

    name: str
    players: Players
    player_of: NDArray[np.int64] = field(repr=False)
    regions: Regions = field(repr=False)
    spans: tuple[Span, ...] = field(repr=False)
    token_regions: Regions = field(repr=False)

    @property
    def is_trivial(self) -> bool:
        """Whether every token is a player of its own."""
        return len(self.player_of) == self.players.n

    @property
    def n_segments_asked(self) -> int | None:
        """How many segments were asked for, at least as many as there are; None where the image players are cells."""
        found = _SEGMENTS.fullmatch(self.name)
        return int(found[1]) if found else None

    def groups(self) -> NDArray[np.bool_]:
        """Shape (n_players, n_tokens): the tokens of each player."""
        return np.asarray(np.arange(self.players.n)[:, None] == self.player_of, dtype=np.bool_)

    def expand(self, coalitions: Coalitions) -> Coalitions:
        """Coalitions of tokens (n_coalitions, n_tokens) of coalitions of players."""
        return np.ascontiguousarray(coalitions[:, self.player_of])

    def merge(self, scores: Scores) -> Scores:
        """Scores (n_players,): those of the tokens (n_tokens,) summed over each player."""
        return np.bincount(self.player_of, scores, self.players.n).astype(np.float64)

    def merge_pairs(self, pairs: PairScores) -> PairScores:
        """Pairs (n_image, n_text) of players: those of image tokens and question tokens summed over both."""
        groups = self.groups().astype(np.float64)
        n_image, n_tokens = self.players.n_image, len(self.token_regions)
        return np.asarray(groups[:n_image, :n_tokens] @ pairs @ groups[n_image:, n_tokens:].T)

    def painted(self, scores: Scores) -> tuple[Scores, Regions]:
        """On each image token the score of its player, of scores (n_image,), and where the tokens lie: what to draw."""
        return np.asarray(scores)[self.player_of[: len(self.token_regions)]], self.token_regions


def check_players(name: str) -> str:
    """The way of making players, if there is one of this name.

    Raises:
        PlayersError: There is none.
    """
    grid, segments = _GRID.fullmatch(str(name)), _SEGMENTS.fullmatch(str(name))
    numbers = [int(n) for found in (grid, segments) if found for n in found.groups()]
    if (name not in ("auto", "tokens", "words") and not numbers) or 0 in numbers:
        raise PlayersError(
            f"unknown players {name!r}; expected 'tokens', 'words', 'grid:RxC' (grid:12x12) or 'segments:N' "
            "(segments:30)"
        )
    return name


def n_players_of(name: str, n_tokens: int) -> int:
    """Image players that so many image tokens make, for a plan; a grid that is not named is as square as an image."""
    numbers = [int(n) for n in re.findall(r"\d+", name)]
    wanted = {"auto": LARGEST_GRID**2, "tokens": n_tokens, "words": n_tokens}.get(name, math.prod(numbers))
    return min(wanted, n_tokens)


@dataclass(frozen=True)
class ImageGrid:
    """The tokens of one image, each of them a cell, before they are grouped.

    Attributes:
        rows: Rows of image tokens.
        columns: Columns of image tokens.
        regions: Shape (rows * columns, 4): where each of them lies in the image.
        image: The image.
        box: Shape (4,): where the image lies on the sheet of all images.
    """

    rows: int
    columns: int
    regions: Regions = field(repr=False)
    image: Image.Image = field(repr=False)
    box: Regions = field(default_factory=lambda: np.array([0.0, 0.0, 1.0, 1.0]), repr=False)

    @property
    def largest_grid(self) -> str:
        """The players of its cells where nobody chooses."""
        return f"grid:{min(self.rows, LARGEST_GRID)}x{min(self.columns, LARGEST_GRID)}"


def make_partition(name: str, *, question: str, spans: Sequence[Span], images: Sequence[ImageGrid]) -> Partition:
    """Group the tokens of one sample.

    Of several images each has its own players: a grid or segments of its own.

    Args:
        name: How; ``"auto"`` takes whole words and a grid of at most 12 x 12.
        question: The question.
        spans: Character span in it of each question token.
        images: The images' cells.

    Raises:
        PlayersError: No such way, a grid finer than the tokens, or more segments than the image has.
        ImportError: Segments without the extra ``segments``.
    """
    check_players(name)
    names = [image.largest_grid if name == "auto" else name for image in images]
    cells: list[NDArray[np.int64]] = []
    labels: list[str] = []
    for i, (image, own) in enumerate(zip(images, names, strict=True)):
        cell, found = _cells(own, image, i, len(images))
        cells.append(cell + len(labels))
        labels += found
    cell = np.concatenate(cells)
    regions = np.concatenate([onto_sheet(image.regions, image.box) for image in images])
    word = np.arange(len(spans)) if name == "tokens" else words_of(question, spans)
    boxes = np.concatenate([regions[:, :2], -regions[:, 2:]], axis=1)
    merged = np.stack([boxes[cell == i].min(axis=0) for i in range(len(labels))])
    merged[:, 2:] *= -1
    members = [[spans[int(i)] for i in np.flatnonzero(word == w)] for w in range(int(word.max()) + 1)]
    parts = list(spans) if name == "tokens" else [_trimmed(question, found) for found in members]
    return Partition(
        name=", ".join(dict.fromkeys(names)),
        players=Players.make(tuple(labels), tuple(question[a:b] for a, b in parts)),
        player_of=np.concatenate([cell, word + len(labels)]),
        regions=merged,
        spans=tuple(parts),
        token_regions=regions,
    )


def grid_labels(rows: int, columns: int, number: int = 0, n_images: int = 1) -> list[str]:
    """Names of the cells of one image, row by row; of several images each says which.

    Example:
        >>> grid_labels(1, 2), grid_labels(1, 2, 1, 2)[1]
        (['row 1, column 1', 'row 1, column 2'], 'image 2: row 1, column 2')
    """
    which = _of_image(number, n_images)
    return [f"{which}row {r + 1}, column {c + 1}" for r in range(rows) for c in range(columns)]


def _of_image(number: int, n_images: int) -> str:
    return f"image {number + 1}: " if n_images > 1 else ""


def _cells(name: str, image: ImageGrid, number: int, n_images: int) -> tuple[NDArray[np.int64], list[str]]:
    """The image player of each cell of one image, and the players' names."""
    if found := _SEGMENTS.fullmatch(name):
        cell, which = segments_of(image.image, image.regions, int(found[1])), _of_image(number, n_images)
        return cell, [f"{which}segment {i + 1}" for i in range(int(cell.max()) + 1)]
    grid, rows, columns = _GRID.fullmatch(name), image.rows, image.columns
    down, across = map(int, grid.groups()) if grid else (rows, columns)
    if down > rows or across > columns:
        whose = f"{number + 1}. image's" if n_images > 1 else "image's"
        raise PlayersError(
            f"players {name!r}: finer than the {whose} {rows} x {columns} tokens; at most 'grid:{rows}x{columns}'"
        )
    row, column = np.divmod(np.arange(rows * columns), columns)
    return (row * down // rows) * across + column * across // columns, grid_labels(down, across, number, n_images)


def segments_of(image: Image.Image, regions: Regions, n: int) -> NDArray[np.int64]:
    """The segment of each cell, shape (n_cells,): that of most of its pixels, numbered from 0 without gaps.

    Raises:
        PlayersError: The image has fewer cells, or less than half as many segments.
        ImportError: The extra ``segments`` is not installed.
    """
    if n > len(regions):
        raise PlayersError(
            f"players 'segments:{n}': the image has {len(regions)} cells; at most 'segments:{len(regions)}'"
        )
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise ImportError("players 'segments:N' need scikit-image; install the extra 'segments'") from error
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    pixels = np.asarray(small.resize((max(small.width, 2), max(small.height, 2))))
    for compactness in _COMPACTNESS:
        labels = slic(pixels, n_segments=n, compactness=compactness, start_label=0, channel_axis=-1)
        cell = _majority(labels, regions)
        found = int(cell.max()) + 1
        if 2 * found >= n:
            return cell
    raise PlayersError(
        f"players 'segments:{n}': the image has {found} segments as large as a cell; take 'segments:{found}' or a grid"
    )


def _majority(labels: NDArray[np.int64], regions: Regions) -> NDArray[np.int64]:
    """The label of most pixels of each cell, numbered from 0 without gaps."""
    height, width = labels.shape
    corners = np.asarray(regions) * [width, height, width, height]
    start = np.minimum(np.floor(corners[:, :2]), [width - 1, height - 1]).astype(int)
    stop = np.maximum(np.ceil(corners[:, 2:]).astype(int), start + 1)
    most = [np.bincount(labels[y0:y1, x0:x1].ravel()).argmax() for (x0, y0), (x1, y1) in zip(start, stop, strict=True)]
    return np.unique(most, return_inverse=True)[1].reshape(-1).astype(np.int64)


def words_of(question: str, spans: Sequence[Span]) -> NDArray[np.int64]:
    """The word of each token, shape (n_tokens,), numbered from 0 in order.

    Letters, digits and their marks that stand together are a word; every other sign is one of its own, a flag or a
    family of several characters too. Tokens of one word belong together, and so do words that one token spans; a token
    of blanks alone belongs to the word after it, at the end to the one before.
    """
    unit = _units(question)
    found, current, last = [], -1, None
    blanks = 0
    for a, b in spans:
        inside = [u for u in unit[a:b] if u is not None]
        if not inside:
            blanks += 1
            continue
        if inside[0] != last:
            current += 1
        found += [current] * (blanks + 1)
        blanks, last = 0, inside[-1]
    return np.array(found + [max(current, 0)] * blanks, dtype=np.int64)


def _units(text: str) -> list[int | None]:
    """Number of the word of each character; None for blanks."""
    units: list[int | None] = []
    number, before = -1, ""
    for last, c in pairwise(" " + text):
        kind = unicodedata.category(c)
        if c.isspace() or kind in ("Cc", "Cf"):
            units.append(number if kind == "Cf" and before else None)
            before = before if kind == "Cf" else ""
            continue
        is_letter = kind[0] in "LN" and not _is_ideograph(c)
        is_flags_end = before == "flag" and c in _FLAGS
        is_more = (bool(before) and (kind[0] == "M" or last == _JOINER or c in _SKINS)) or is_flags_end
        if not is_more and not (is_letter and before == "word"):
            number += 1
            before = "word" if is_letter else "flag" if c in _FLAGS else "sign"
        elif is_flags_end:
            before = "sign"
        units.append(number)
    return units


_JOINER = "\u200d"
_SKINS = {chr(code) for code in range(0x1F3FB, 0x1F400)}
_FLAGS = {chr(code) for code in range(0x1F1E6, 0x1F200)}
"""What makes one sign of several characters: a joiner between them, a skin's colour behind, two letters of a flag."""


def _is_ideograph(c: str) -> bool:
    """Whether a character is a word without blanks around it: Chinese characters and Japanese syllables."""
    return unicodedata.name(c, "").startswith(("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "KATAKANA"))


def _trimmed(question: str, spans: Sequence[Span]) -> Span:
    """The characters of some tokens without blanks at the ends, where anything is left."""
    a, b = min(start for start, _ in spans), max(end for _, end in spans)
    text = question[a:b]
    if not text.strip():
        return a, b
    return a + len(text) - len(text.lstrip()), a + len(text.rstrip())
