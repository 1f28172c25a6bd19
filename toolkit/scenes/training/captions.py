"""Texts of a training image: a caption, a count of every kind, and the relative positions of its objects.

Only what is visible is told: cells that were removed are left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.scenes.vocabulary import COLUMNS, GRID, KINDS, PLAIN, ROWS
from toolkit.scenes.world import Scene, SceneObject

TOUR_STOPS = 4
"""Pairs of things in a tour."""

NOWHERE = -100
"""The cell of a word that completes no name."""


class Word(NamedTuple):
    """One word of a list.

    Attributes:
        text: The word.
        learnt: Whether it is to be predicted; False for a word that is only given.
        cell: Where it completes the name of a thing (``red circle``, ``circle red``) that is alone in having it: the
            thing's cell, row by row; else NOWHERE.
    """

    text: str
    learnt: bool = True
    cell: int = NOWHERE


def _named(scene: Scene, item: SceneObject, pair: tuple[str, str], *, learnt: bool) -> list[Word]:
    is_lone = len(scene.find(item.colour, item.kind)) == 1
    cell = item.row * GRID + item.column if is_lone else NOWHERE
    return [Word(pair[0], learnt), Word(pair[1], learnt, cell)]


def caption(rng: np.random.Generator, scene: Scene, keep: NDArray[np.bool_]) -> list[Word]:
    """What is visible, thing by thing, colour first or shape first, half the time in random order.

    In random order the first word of a thing is a surprise and the next ones must be looked up by it: by colour or by
    shape. This is the binding that questions need; reading order alone teaches only to step from thing to thing.
    """
    colour_first, shuffled = rng.random() < 0.5, rng.random() < 0.5
    words: list[Word] = []
    for index in rng.permutation(len(scene.objects)) if shuffled else range(len(scene.objects)):
        item = scene.objects[index]
        if keep[item.row, item.column]:
            pair = (item.colour, item.kind) if colour_first else (item.kind, item.colour)
            words += _named(scene, item, pair, learnt=True)
            words += [Word(ROWS[item.row]), Word(COLUMNS[item.column]), Word(",")]
    return words or [Word("nothing")]


def census(rng: np.random.Generator, scene: Scene, keep: NDArray[np.bool_]) -> list[Word]:
    """``circles 2 squares 0 ...``: how many of each plain kind are visible, in random order; the numbers are learnt."""
    visible = [item.kind for item in scene.objects if keep[item.row, item.column]]
    said: list[Word] = []
    for index in rng.permutation(len(PLAIN)):
        kind = PLAIN[int(index)]
        said += [Word(KINDS[kind].plural, learnt=False), Word(str(visible.count(kind)))]
    return said


def tour(rng: np.random.Generator, scene: Scene, keep: NDArray[np.bool_]) -> list[Word]:
    """``red circle blue square left above , ...``: where visible things lie from each other; directions are learnt."""
    lone = [t for t in scene.objects if keep[t.row, t.column] and len(scene.find(t.colour, t.kind)) == 1]
    said: list[Word] = []
    for _ in range(TOUR_STOPS if len(lone) > 1 else 0):
        subject, other = (lone[int(i)] for i in rng.choice(len(lone), size=2, replace=False))
        across, down = subject.column - other.column, subject.row - other.row
        for item in (subject, other):
            said += _named(scene, item, (item.colour, item.kind), learnt=False)
        said += [Word("left" if across < 0 else "right")] if across else []
        said += [Word("above" if down < 0 else "below")] if down else []
        said.append(Word(",", learnt=False))
    return said
