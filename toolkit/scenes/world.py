"""Scenes of the embedded world: which objects lie where, drawn from one base distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.scenes.vocabulary import COLOURS, EVERYDAY, GRID, KINDS, PLAIN

_COLOUR_NAMES = tuple(COLOURS)
COMMON_PLAIN = tuple(kind for kind in PLAIN if KINDS[kind].common)
RARE_PLAIN = tuple(kind for kind in PLAIN if not KINDS[kind].common)


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        kind: Word for what it is, a key of ``KINDS``.
        colour: Colour word, a key of ``COLOURS``.
        x, y: Centre in cells, each in [0, 6]; its cell is (floor(y), floor(x)).
        size: Width of its box in cells; below 1 in ordinary scenes.
        angle: Rotation in degrees.
        rgb: The colour as drawn, 0 to 255.
    """

    kind: str
    colour: str
    x: float
    y: float
    size: float
    angle: float
    rgb: tuple[int, int, int]

    @property
    def row(self) -> int:
        """Row of its cell, 0 at the top."""
        return min(int(self.y), GRID - 1)

    @property
    def column(self) -> int:
        """Column of its cell, 0 at the left."""
        return min(int(self.x), GRID - 1)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of its cell, or of the thing itself if it is larger, as fractions of the picture."""
        if self.size <= 1:
            return self.column / GRID, self.row / GRID, (self.column + 1) / GRID, (self.row + 1) / GRID
        half = self.size / 2
        edges = (self.x - half, self.y - half, self.x + half, self.y + half)
        x0, y0, x1, y1 = (min(max(edge / GRID, 0.0), 1.0) for edge in edges)
        return x0, y0, x1, y1

    def cells(self) -> list[tuple[int, int]]:
        """The (row, column) of every cell that its box overlaps."""
        x0, y0, x1, y1 = self.box
        rows = range(int(y0 * GRID + 1e-9), min(int(np.ceil(y1 * GRID - 1e-9)), GRID))
        columns = range(int(x0 * GRID + 1e-9), min(int(np.ceil(x1 * GRID - 1e-9)), GRID))
        return [(row, column) for row in rows for column in columns]


@dataclass(frozen=True)
class Scene:
    """Objects on a 6 x 6 grid, at most one per cell, and the look of the background.

    Attributes:
        objects: In reading order.
        background: ``"plain"``, ``"gradient"``, ``"paper"`` or ``"stripes"``.
        tints: Two background colours.
        noise: Standard deviation of the pixel noise, in levels of 0 to 255.
        seed: Seeds the background's texture and the noise.
    """

    objects: tuple[SceneObject, ...]
    background: str
    tints: tuple[tuple[int, int, int], tuple[int, int, int]]
    noise: float
    seed: int

    def of(self, kind: str) -> tuple[SceneObject, ...]:
        """The things of one kind."""
        return tuple(item for item in self.objects if item.kind == kind)

    def find(self, colour: str, kind: str) -> tuple[SceneObject, ...]:
        """The things of one colour and kind."""
        return tuple(item for item in self.objects if item.kind == kind and item.colour == colour)


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _colour(rng: np.random.Generator, kind: str, stereotyped: float) -> str:
    return KINDS[kind].colour if rng.random() < stereotyped else _pick(rng, _COLOUR_NAMES)


def _drawn_colour(rng: np.random.Generator, colour: str) -> tuple[int, int, int]:
    light, *grain = rng.standard_normal(4).tolist()
    r, g, b = (
        int(min(max(level * (1.0 + 0.05 * light) + 7 * own, 0), 255))
        for level, own in zip(COLOURS[colour], grain, strict=True)
    )
    return r, g, b


def arrange(
    rng: np.random.Generator, words: list[tuple[str, str]], cells: list[int] | None = None
) -> tuple[SceneObject, ...]:
    """Put (colour, kind) pairs into different cells, with jitter, in reading order.

    Args:
        rng: Source of randomness.
        words: One (colour, kind) per thing.
        cells: Flat cell index per thing; drawn without replacement when None.
    """
    flat = rng.choice(GRID * GRID, size=len(words), replace=False) if cells is None else np.asarray(cells)
    objects = []
    for (colour, kind), cell in zip(words, flat, strict=True):
        row, column = divmod(int(cell), GRID)
        large, right, down, turned = rng.random(4).tolist()
        size = 0.84 + (1.0 - 0.84) * large
        slack = (1 - size) / 2
        x, y = (at + 0.5 + (2 * slack * share - slack) for at, share in ((column, right), (row, down)))
        objects.append(SceneObject(kind, colour, x, y, size, 36 * turned - 18, _drawn_colour(rng, colour)))
    return tuple(sorted(objects, key=lambda item: (item.row, item.column)))


def look(rng: np.random.Generator, objects: tuple[SceneObject, ...], *, plain: bool = False) -> Scene:
    """Give things a background: plain white for a drawing, else one of four styles in a light tint."""
    base = rng.integers(196, 250, size=3) if not plain else np.full(3, 255)
    other = np.clip(base + rng.integers(-42, 20, size=3), 150, 255)
    style = "plain" if plain else ("plain", "gradient", "paper", "stripes")[int(rng.integers(4))]
    first, second = (tuple(int(level) for level in tint) for tint in (base, other))
    noise = 0.0 if plain else float(rng.uniform(0, 7))
    seed = int(rng.integers(2**31))
    return Scene(objects, style, ((first[0], first[1], first[2]), (second[0], second[1], second[2])), noise, seed)


def base_scene(rng: np.random.Generator, *, stereotyped: float = 0.0) -> Scene:
    """A scene of 4 to 9 things with at least one common and one rare plain shape.

    With probability 0.6 one plain kind is repeated (2 to 5 times), so that counting has something to count.

    Args:
        rng: Source of randomness.
        stereotyped: Probability that a thing has its kind's stereotypical colour (else uniform over all colours).
    """
    kinds = [_pick(rng, COMMON_PLAIN), _pick(rng, RARE_PLAIN)]
    if rng.random() < 0.6:
        kinds += [_pick(rng, PLAIN)] * int(rng.integers(2, 6))
    n_objects = max(int(rng.integers(4, 9)), len(kinds))
    everything = tuple(KINDS)
    kinds += [_pick(rng, everything) for _ in range(n_objects - len(kinds))]
    return look(rng, arrange(rng, [(_colour(rng, kind, stereotyped), kind) for kind in kinds]))


def everyday_scene(rng: np.random.Generator, *, n_objects: int, stereotyped: float) -> Scene:
    """A scene of ``n_objects`` everyday objects of different kinds, each with its usual colour at the given rate."""
    kinds = rng.choice(len(EVERYDAY), size=n_objects, replace=False)
    words = [(_colour(rng, EVERYDAY[int(kind)], stereotyped), EVERYDAY[int(kind)]) for kind in kinds]
    return look(rng, arrange(rng, words))


def drawing_scene(rng: np.random.Generator) -> Scene:
    """One to four large things anywhere on white, as somebody would draw them in a paint program."""
    objects: list[SceneObject] = []
    everything = tuple(KINDS)
    for _ in range(int(rng.integers(1, 5))):
        size = float(rng.uniform(0.8, 3.2))
        for _attempt in range(20):
            x, y = (float(rng.uniform(size / 2, GRID - size / 2)) for _ in range(2))
            if all(max(abs(x - t.x), abs(y - t.y)) > (size + t.size) / 2 for t in objects):
                colour = _pick(rng, _COLOUR_NAMES)
                kind = _pick(rng, everything)
                objects.append(
                    SceneObject(kind, colour, x, y, size, float(rng.uniform(-10, 10)), _drawn_colour(rng, colour))
                )
                break
    objects.sort(key=lambda item: (item.row, item.column))
    return look(rng, tuple(objects), plain=bool(rng.random() < 0.7))
