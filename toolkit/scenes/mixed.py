"""Mixed questions: harder ones that need several objects at once and have no stereotype to guess from."""

from __future__ import annotations

import numpy as np

from toolkit.scenes.questions import COLOUR_NAMES, Question, accept, choice, distractors, named
from toolkit.scenes.vocabulary import KINDS, PLAIN
from toolkit.scenes.world import Scene

UNSOLVED = ("neighbour", "same")
"""Families that the grounded twins answer too badly (see their cards) for the evidence to say what moves them."""


def shape(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``what is the red thing ? A circle B star C heart D cross``."""
    lone = [t for t in scene.objects if sum(o.colour == t.colour for o in scene.objects) == 1 and t.kind in PLAIN]
    if not lone:
        return None
    item = lone[int(rng.integers(len(lone)))]
    options = distractors(rng, item.kind, PLAIN, 3)
    words = f"what is the {item.colour} thing ?"
    return choice("shape", rng, words, item.kind, options, objects=(item,), evidence=(item.colour,))


_STEPS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}


def neighbour(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``what color is the thing right of the red circle ? A ...``: two hops, the neighbouring cell."""
    at = {(item.row, item.column): item for item in scene.objects}
    found = []
    for item in scene.objects:
        for words, (down, right) in _STEPS.items():
            beside = at.get((item.row + down, item.column + right))
            alone = len(scene.find(item.colour, item.kind)) == 1
            if beside is not None and beside.kind != item.kind and alone:
                found.append((item, words, beside))
    if not found:
        return None
    item, words, beside = found[int(rng.integers(len(found)))]
    text = f"what color is the thing {words} the {item.colour} {item.kind} ?"
    options = distractors(rng, beside.colour, COLOUR_NAMES, 3)
    evidence = ("color", words.split()[0], item.colour, item.kind)
    return choice("neighbour", rng, text, beside.colour, options, objects=(item, beside), evidence=evidence)


def compare(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``are there more circles or squares ? A circles B squares``; that nothing else is one counts as well."""
    first, second = (PLAIN[int(i)] for i in rng.choice(len(PLAIN), size=2, replace=False))
    n_first, n_second = len(scene.of(first)), len(scene.of(second))
    if n_first == n_second:
        return None
    options = [KINDS[first].plural, KINDS[second].plural]
    text = f"are there more {options[0]} or {options[1]} ?"
    return choice("compare", rng, text, options[int(n_second > n_first)], options, objects=(), evidence=tuple(options))


def same(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``do the circle and the star have the same color ? A yes B no``."""
    pair = named(scene, rng, 2, by_kind=True)
    if pair is None:
        return None
    equal = pair[0].colour == pair[1].colour
    if not accept(rng, np.array([0.5, 0.5]), np.array([7 / 8, 1 / 8]), int(equal)):
        return None
    text = f"do the {pair[0].kind} and the {pair[1].kind} have the same color ?"
    evidence = ("same", "color", pair[0].kind, pair[1].kind)
    answer = "yes" if equal else "no"
    return choice("same", rng, text, answer, ["yes", "no"], objects=(pair[0], pair[1]), evidence=evidence)
