"""Questions about everyday objects with a stereotyped colour: the family in which all four gates arise.

Three templates share one answer vocabulary (the colour words):

* ``what color is the lemon ?``: look, but you could guess. Alone in the picture and with a strong prior this is
  redundancy; alone without a prior image-only; among others with a strong prior text-only; without a prior synergy.
* ``what color is the thing ?`` with one thing in the picture: image-only.
* ``what color is a lemon usually ?``: text-only, whatever the picture shows.
"""

from __future__ import annotations

import numpy as np

from toolkit.datasets.instructions import OPEN_INSTRUCTION
from toolkit.datasets.sample import Corners
from toolkit.scenes.questions import Question, boxes
from toolkit.scenes.vocabulary import COLOURS, EVERYDAY, KINDS
from toolkit.scenes.world import Scene, SceneObject

_CHOICES = tuple(COLOURS)


def colour_given_kind(colour: str, kind: str, strength: float) -> float:
    """P(colour | kind) = s [stereotype] + (1 - s) / 8."""
    return strength * (KINDS[kind].colour == colour) + (1 - strength) / len(COLOURS)


def _marginal(colour: str, strength: float) -> float:
    return sum(colour_given_kind(colour, kind, strength) for kind in EVERYDAY) / len(EVERYDAY)


def everyday(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """Ask one of the three templates about a scene that holds nothing but everyday objects of different kinds."""
    if any(item.kind not in EVERYDAY for item in scene.objects):
        return None
    template = rng.random()
    if template < 0.25:
        kind = EVERYDAY[int(rng.integers(len(EVERYDAY)))]
        usual = KINDS[kind].colour
        guess = sum(KINDS[other].colour == usual for other in EVERYDAY) / len(EVERYDAY)
        corners = Corners(both=1.0, image=guess, text=1.0, empty=guess)
        return _question(f"what color is a {kind} usually ?", usual, (), (4, 5), corners, usual)
    item = scene.objects[int(rng.integers(len(scene.objects)))]
    guess = _marginal(item.colour, strength)
    if len(scene.objects) == 1 and template < 0.5:
        corners = Corners(both=1.0, image=1.0, text=guess, empty=guess)
        return _question("what color is the thing ?", item.colour, (item,), (), corners, None)
    same_colour = sum(other.colour == item.colour for other in scene.objects)
    known = colour_given_kind(item.colour, item.kind, strength)
    corners = Corners(both=1.0, image=same_colour / len(scene.objects), text=known, empty=guess)
    text = f"what color is the {item.kind} ?"
    return _question(text, item.colour, (item,), (1, 4), corners, KINDS[item.kind].colour)


def _question(
    text: str, answer: str, objects: tuple[SceneObject, ...], words: tuple[int, ...], bayes: Corners, prior: str | None
) -> Question:
    shown = boxes(objects) if objects else ()
    return Question("everyday", text, OPEN_INSTRUCTION, _CHOICES, answer, shown, words, bayes, prior)
