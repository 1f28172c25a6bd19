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
from toolkit.scenes.world import Scene, Thing

_CHOICES = tuple(COLOURS)


def colour_given_kind(colour: str, kind: str, strength: float) -> float:
    """P(colour | kind) = s [stereotype] + (1 - s) / 8."""
    return strength * (KINDS[kind].colour == colour) + (1 - strength) / len(COLOURS)


def _marginal(colour: str, strength: float) -> float:
    return sum(colour_given_kind(colour, kind, strength) for kind in EVERYDAY) / len(EVERYDAY)


def everyday(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """Ask one of the three templates about a scene that holds nothing but everyday objects of different kinds."""
    if any(thing.kind not in EVERYDAY for thing in scene.things):
        return None
    template = rng.random()
    if template < 0.25:
        return _usually(rng)
    thing = scene.things[int(rng.integers(len(scene.things)))]
    if len(scene.things) == 1 and template < 0.5:
        return _the_thing(thing, strength)
    same_colour = sum(other.colour == thing.colour for other in scene.things)
    corners = Corners(
        both=1.0,
        image=same_colour / len(scene.things),
        text=colour_given_kind(thing.colour, thing.kind, strength),
        empty=_marginal(thing.colour, strength),
    )
    text = f"what color is the {thing.kind} ?"
    return _question(text, thing.colour, (thing,), (1, 4), corners, KINDS[thing.kind].colour)


def _usually(rng: np.random.Generator) -> Question:
    kind = EVERYDAY[int(rng.integers(len(EVERYDAY)))]
    usual = KINDS[kind].colour
    guess = sum(KINDS[other].colour == usual for other in EVERYDAY) / len(EVERYDAY)
    corners = Corners(both=1.0, image=guess, text=1.0, empty=guess)
    return _question(f"what color is a {kind} usually ?", usual, (), (4, 5), corners, usual)


def _the_thing(thing: Thing, strength: float) -> Question:
    guess = _marginal(thing.colour, strength)
    corners = Corners(both=1.0, image=1.0, text=guess, empty=guess)
    return _question("what color is the thing ?", thing.colour, (thing,), (), corners, None)


def _question(
    text: str,
    answer: str,
    things: tuple[Thing, ...],
    words: tuple[int, ...],
    corners: Corners,
    prior_answer: str | None,
) -> Question:
    return Question(
        family="everyday",
        text=text,
        instruction=OPEN_INSTRUCTION,
        choices=_CHOICES,
        answer=answer,
        evidence_boxes=boxes(things) if things else (),
        evidence_words=words,
        bayes=corners,
        prior_answer=prior_answer,
    )
