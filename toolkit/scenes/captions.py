"""What a training row tells about its picture: a caption, a count of every kind, and where things lie from each other.

Only what is visible is told: cells that were removed are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.scenes.vocabulary import COLUMNS, KINDS, PLAIN, ROWS
from toolkit.scenes.world import Scene

TOUR_STOPS = 4
"""Pairs of things in a tour."""

Said = list[tuple[str, bool]]
"""Words of a list and whether each is learnt (or only given)."""


def caption(rng: np.random.Generator, scene: Scene, keep: NDArray[np.bool_]) -> list[str]:
    """What is visible, thing by thing, colour first or shape first, half the time in random order.

    In random order the first word of a thing is a surprise and the next ones must be looked up by it: by colour or by
    shape. This is the binding that questions need; reading order alone teaches only to step from thing to thing.
    """
    colour_first, shuffled = rng.random() < 0.5, rng.random() < 0.5
    words: list[str] = []
    for index in rng.permutation(len(scene.things)) if shuffled else range(len(scene.things)):
        thing = scene.things[index]
        if keep[thing.row, thing.column]:
            pair = (thing.colour, thing.kind) if colour_first else (thing.kind, thing.colour)
            words += [*pair, ROWS[thing.row], COLUMNS[thing.column], ","]
    return words or ["nothing"]


def census(rng: np.random.Generator, scene: Scene, keep: NDArray[np.bool_]) -> Said:
    """``circles 2 squares 0 ...``: how many of each plain kind are visible, in random order; the numbers are learnt."""
    visible = [thing.kind for thing in scene.things if keep[thing.row, thing.column]]
    said: Said = []
    for index in rng.permutation(len(PLAIN)):
        kind = PLAIN[int(index)]
        said += [(KINDS[kind].plural, False), (str(visible.count(kind)), True)]
    return said


def tour(rng: np.random.Generator, scene: Scene, keep: NDArray[np.bool_]) -> Said:
    """``red circle blue square left above , ...``: where visible things lie from each other; directions are learnt."""
    lone = [t for t in scene.things if keep[t.row, t.column] and len(scene.find(t.colour, t.kind)) == 1]
    said: Said = []
    for _ in range(TOUR_STOPS if len(lone) > 1 else 0):
        subject, other = (lone[int(i)] for i in rng.choice(len(lone), size=2, replace=False))
        across, down = subject.column - other.column, subject.row - other.row
        said += [(word, False) for word in (subject.colour, subject.kind, other.colour, other.kind)]
        said += [("left" if across < 0 else "right", True)] if across else []
        said += [("above" if down < 0 else "below", True)] if down else []
        said.append((",", False))
    return said
