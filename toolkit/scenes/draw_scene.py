"""Draw a scene at any size: crisp for people at 400 px, and the same picture small for a tiny model."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from toolkit.scenes.vocabulary import GRID, PLAIN
from toolkit.scenes.world import Scene, SceneObject

_SUPERSAMPLING = 4
_REACH = 0.86  # what a pen draws stays inside the sprite when it is turned by up to 18 degrees
_Layer = tuple[Image.Image, Image.Image, Image.Image]


class _Pen:
    """Draws in unit coordinates ([-1, 1] both ways) on one layer of a sprite."""

    def __init__(self, canvas: Image.Image) -> None:
        self._draw = ImageDraw.Draw(canvas)
        self._width = canvas.width

    def _at(self, value: float) -> float:
        return (value * _REACH + 1) / 2 * self._width

    def disc(self, x: float, y: float, rx: float, ry: float | None = None) -> None:
        ry = rx if ry is None else ry
        self._draw.ellipse([self._at(x - rx), self._at(y - ry), self._at(x + rx), self._at(y + ry)], fill=255)

    def polygon(self, *points: tuple[float, float]) -> None:
        self._draw.polygon([(self._at(x), self._at(y)) for x, y in points], fill=255)

    def line(self, width: float, *points: tuple[float, float]) -> None:
        path = [(self._at(x), self._at(y)) for x, y in points]
        self._draw.line(path, fill=255, width=max(round(width * self._width / 2), 1), joint="curve")


def _plain_shape(kind: str, body: _Pen) -> None:
    if kind == "circle":
        body.disc(0, 0, 1.0)
    elif kind == "square":
        body.polygon((-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84))
    elif kind == "triangle":
        body.polygon((0, -0.95), (0.98, 0.82), (-0.98, 0.82))
    elif kind == "star":
        points = []
        for i in range(10):
            radius, angle = (1.0, 0.42)[i % 2], math.pi * (i / 5 - 0.5)
            points.append((radius * math.cos(angle), radius * math.sin(angle) + 0.05))
        body.polygon(*points)
    elif kind == "heart":
        body.disc(-0.46, -0.38, 0.5)
        body.disc(0.46, -0.38, 0.5)
        body.polygon((-0.9, -0.14), (0.9, -0.14), (0, 0.95))
    else:
        arm = 0.32
        body.polygon((-arm, -0.95), (arm, -0.95), (arm, 0.95), (-arm, 0.95))
        body.polygon((-0.95, -arm), (0.95, -arm), (0.95, arm), (-0.95, arm))


def _everyday_shape(kind: str, body: _Pen, dark: _Pen, light: _Pen) -> None:
    if kind == "lemon":
        body.disc(0, 0, 0.78, 0.58)
        body.polygon((-0.6, -0.32), (-1.0, -0.06), (-1.0, 0.06), (-0.6, 0.32))
        body.polygon((0.6, -0.32), (1.0, -0.06), (1.0, 0.06), (0.6, 0.32))
        light.disc(-0.25, -0.24, 0.22, 0.1)
    elif kind == "cherry":
        body.disc(-0.5, 0.5, 0.44)
        body.disc(0.5, 0.5, 0.44)
        dark.line(0.13, (-0.5, 0.15), (0.1, -0.9), (0.5, 0.15))
        light.disc(-0.62, 0.36, 0.1)
        light.disc(0.38, 0.36, 0.1)
    elif kind == "leaf":
        across = np.linspace(-0.9, 1.0, 25)
        edge = [(float(x), 0.56 * math.cos(math.pi * (x - 0.05) / 1.9)) for x in across]
        body.polygon(*edge, *[(x, -y) for x, y in reversed(edge)])
        dark.line(0.1, (-1.0, 0.12), (-0.85, 0.02), (0.8, 0))
        for x in (-0.45, -0.05, 0.35):
            dark.line(0.06, (x, 0), (x + 0.24, -0.3))
            dark.line(0.06, (x, 0), (x + 0.24, 0.3))
    elif kind == "carrot":
        body.polygon((-0.42, -0.42), (0.42, -0.42), (0.05, 1.0), (-0.05, 1.0))
        body.disc(0, -0.42, 0.42, 0.18)
        for tip in (-0.42, 0.0, 0.42):
            dark.line(0.16, (0, -0.5), (tip, -0.98))
        dark.line(0.06, (-0.3, -0.1), (0.02, -0.1))
        dark.line(0.06, (0.24, 0.2), (0.0, 0.2))
    elif kind == "fish":
        body.disc(-0.2, 0, 0.76, 0.48)
        body.polygon((0.35, 0), (1.0, -0.55), (1.0, 0.55))
        light.disc(-0.58, -0.12, 0.13)
        dark.disc(-0.58, -0.12, 0.06)
    else:
        for row, n in enumerate((3, 2, 1)):
            for i in range(n):
                body.disc((i - (n - 1) / 2) * 0.62, -0.3 + row * 0.5, 0.34)
                light.disc((i - (n - 1) / 2) * 0.62 - 0.1, -0.4 + row * 0.5, 0.07)
        dark.line(0.13, (0, -0.55), (0.12, -1.0))


@lru_cache(maxsize=4096)
def _sprite(kind: str, width: int, angle: int) -> _Layer:
    """Masks (width x width) of a thing's body, its dark details and its highlights."""
    side = _SUPERSAMPLING * width
    layers = [Image.new("L", (side, side)) for _ in range(3)]
    body, dark, light = (_Pen(layer) for layer in layers)
    if kind in PLAIN:
        _plain_shape(kind, body)
    else:
        _everyday_shape(kind, body, dark, light)
    for i, layer in enumerate(layers):
        if layer.getbbox() is not None:
            layer = layer.rotate(angle, resample=Image.Resampling.BILINEAR)
        layers[i] = layer.reduce(_SUPERSAMPLING)
    return layers[0], layers[1], layers[2]


def _background(scene: Scene, size: int) -> Image.Image:
    rng = np.random.default_rng(scene.seed)
    first, second = (np.asarray(tint, dtype=np.float32) for tint in scene.tints)
    across = np.linspace(0, 1, size, dtype=np.float32)
    if scene.background == "gradient":
        angle = rng.uniform(0, 2 * math.pi)
        blend = (math.cos(angle) * (across - 0.5)[None, :] + math.sin(angle) * (across - 0.5)[:, None]) / 1.42 + 0.5
    elif scene.background == "stripes":
        blend = np.broadcast_to(0.35 * (np.sin(across * rng.uniform(25, 60))[None, :] > 0), (size, size))
        blend = blend if rng.random() < 0.5 else blend.T
    elif scene.background == "paper":
        coarse = Image.fromarray((rng.random((13, 13)) * 255).astype(np.uint8))
        blend = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32) / 510
    else:
        blend = np.zeros((size, size), dtype=np.float32)
    canvas = first + np.asarray(blend, dtype=np.float32)[..., None] * (second - first)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def _paint(image: Image.Image, item: SceneObject, cell: float) -> None:
    width = max(round(item.size * cell), 4)
    body, dark, light = _sprite(item.kind, width, 3 * round(item.angle / 3))
    corner = (round(item.x * cell - width / 2), round(item.y * cell - width / 2))
    r, g, b = item.rgb
    image.paste(item.rgb, corner, body)
    if item.kind not in PLAIN:
        image.paste((int(r * 0.62), int(g * 0.62), int(b * 0.62)), corner, dark)
        image.paste((r + (255 - r) * 3 // 4, g + (255 - g) * 3 // 4, b + (255 - b) * 3 // 4), corner, light)


def draw(scene: Scene, size: int = 384) -> Image.Image:
    """Draw a scene as a square RGB picture.

    Args:
        scene: What to draw.
        size: Side in pixels; 384 looks good to people, the tiny models see 96.

    Returns:
        RGB picture (size x size); the same scene and size give the same pixels.
    """
    image = _background(scene, size)
    cell = size / GRID
    if scene.noise and size > 192:
        shadow = Image.new("L", (size, size))
        for item in scene.objects:
            width = max(round(item.size * cell), 4)
            corner = (round(item.x * cell - width / 2), round(item.y * cell - width / 2 + 0.03 * cell))
            shadow.paste(70, corner, _sprite(item.kind, width, 3 * round(item.angle / 3))[0])
        image.paste((60, 60, 70), (0, 0), shadow.filter(ImageFilter.GaussianBlur(0.03 * cell)))
    for item in scene.objects:
        _paint(image, item, cell)
    if scene.noise:
        grain = np.random.default_rng(scene.seed + 1).normal(0, scene.noise, (size, size, 1)).astype(np.float32)
        image = Image.fromarray(np.clip(np.asarray(image, dtype=np.float32) + grain, 0, 255).astype(np.uint8))
    return image
