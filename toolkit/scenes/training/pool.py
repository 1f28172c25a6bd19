"""A pool of drawn training images at the tiny models' input size, with labels per cell."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.datasets.baselines import blur
from toolkit.scenes.draw_scene import draw
from toolkit.scenes.generator import IMAGE_SIZE, everyday_size, split_of
from toolkit.scenes.vocabulary import COLOURS, GRID, KINDS
from toolkit.scenes.world import Scene, base_scene, drawing_scene, everyday_scene

SIDE = 96
IGNORED = -1
NOTHING = 0
TRAINED_EVERYDAY = 0.5
"""Least prior strength of the everyday objects that the twins are trained on, and evaluated on in their cards."""
_CHUNK = 500
_COLOUR_ID = {colour: i + 1 for i, colour in enumerate(COLOURS)}
_KIND_ID = {kind: i + 1 for i, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class ScenePool:
    """Training scenes and their pictures.

    Attributes:
        scenes: The scenes, all of the train split.
        stereotyped: Whether the scene's plain shapes carry the world's colour prior.
        images: Shape (n, 96, 96, 3), uint8.
        blurred: Same shape: the blur baseline of each picture.
        colours: Shape (n, 6, 6): 0 for an empty cell, 1 + index of the colour word, -1 where a large thing covers it.
        kinds: Shape (n, 6, 6): likewise for the kind.
    """

    scenes: list[Scene]
    stereotyped: NDArray[np.bool_]
    images: NDArray[np.uint8]
    blurred: NDArray[np.uint8]
    colours: NDArray[np.int64]
    kinds: NDArray[np.int64]


def _draw_scene(rng: np.random.Generator, strength: float) -> tuple[Scene, bool]:
    while True:
        kind, stereotyped = rng.random(), False
        if kind < 0.66:
            stereotyped = bool(rng.random() < 0.5)
            scene = base_scene(rng, stereotyped=strength if stereotyped else 0.0)
        elif kind < 0.86:
            usual = max(strength, TRAINED_EVERYDAY)
            scene = everyday_scene(rng, n_objects=everyday_size(rng), stereotyped=usual)
        else:
            scene = drawing_scene(rng)
        if split_of(scene) == "train":
            return scene, stereotyped


def _labels(scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    colours = np.full((GRID, GRID), NOTHING)
    kinds = np.full((GRID, GRID), NOTHING)
    for item in scene.objects:
        for cell in item.cells() if item.size > 1 else ():
            colours[cell] = kinds[cell] = IGNORED
    for item in scene.objects:
        colours[item.row, item.column] = _COLOUR_ID[item.colour]
        kinds[item.row, item.column] = _KIND_ID[item.kind]
    return colours, kinds


def _chunk(seed: int, index: int, size: int, strength: float) -> ScenePool:
    rng = np.random.default_rng([seed, index])
    drawn = [_draw_scene(rng, strength) for _ in range(size)]
    scenes, stereotyped = zip(*drawn, strict=True)
    images = [draw(scene, IMAGE_SIZE if rng.random() < 0.25 else SIDE) for scene in scenes]
    images = [image.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in images]
    colours, kinds = zip(*map(_labels, scenes), strict=True)
    blurred = np.stack([np.asarray(blur(image)) for image in images])
    shown = np.stack([np.asarray(image) for image in images])
    return ScenePool(list(scenes), np.array(stereotyped), shown, blurred, np.stack(colours), np.stack(kinds))


def make_pool(n: int, *, seed: int, strength: float, workers: int = 2) -> ScenePool:
    """Draw ``n`` training scenes: two thirds ordinary, a fifth everyday objects, the rest large drawings on white.

    Args:
        n: How many; rounded up to whole chunks of 500.
        seed: Seed; the pool does not depend on the number of workers.
        strength: The world's prior strength.
        workers: Processes.
    """
    n_chunks = -(-n // _CHUNK)
    arguments = ([seed] * n_chunks, range(n_chunks), [_CHUNK] * n_chunks, [strength] * n_chunks)
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            chunks = list(executor.map(_chunk, *arguments))
    else:
        chunks = [_chunk(*argument) for argument in zip(*arguments, strict=True)]
    arrays = ("stereotyped", "images", "blurred", "colours", "kinds")
    whole = {name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in arrays}
    return ScenePool([scene for chunk in chunks for scene in chunk.scenes], **whole)
