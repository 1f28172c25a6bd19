"""Question families of the embedded world: words, answer, evidence and Bayes values, from one scene.

A template looks at a scene and proposes a question. It is accepted with a probability that makes the answer's
distribution *given the words alone* exactly what the world's prior strength s says,

    P(answer | words) = s [answer is the stereotype] + (1 - s) / n_answers,

so the Bayes value of every corner coalition is known in closed form. The number of words stays visible when they are
removed (positions are kept), so the corners without text are conditioned on it; no two templates with different
numbers of options have the same length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import comb

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.instructions import CHOICE_INSTRUCTION, EXISTENCE_INSTRUCTION
from toolkit.datasets.sample import Corners, Gate
from toolkit.redundancy.gates import gate_of
from toolkit.scenes.vocabulary import COLOURS, KINDS, LETTERS, MAX_COUNT, PLAIN
from toolkit.scenes.world import COMMON_PLAIN, RARE_PLAIN, Scene, SceneObject

COLOUR_NAMES = tuple(COLOURS)
_WHOLE = ((0.0, 0.0, 1.0, 1.0),)
Boxes = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Question:
    """A question about a scene with everything that is known about it; see ``toolkit.datasets.sample.Truth``."""

    family: str
    text: str
    instruction: str
    choices: tuple[str, ...]
    answer: str
    evidence_boxes: Boxes
    evidence_words: tuple[int, ...]
    bayes: Corners
    prior_answer: str | None = None

    @property
    def gate(self) -> Gate:
        """Gate by construction: the rule that reads measured corners, on the Bayes corners."""
        return gate_of(self.bayes)


Template = Callable[[Scene, np.random.Generator, float], "Question | None"]


def boxes(objects: tuple[SceneObject, ...]) -> Boxes:
    """Boxes of the things that decide the answer; the whole picture where it takes a look at everything."""
    return tuple(item.box for item in objects) or _WHOLE


def accept(rng: np.random.Generator, wanted: np.ndarray, given: np.ndarray, outcome: int) -> bool:
    """Rejection step that turns the distribution ``given`` into ``wanted`` for the observed outcome."""
    ratio = np.divide(wanted, given, out=np.zeros_like(wanted), where=given > 0)
    return bool(rng.random() < ratio[outcome] / ratio.max())


def _with_prior(n: int, stereotype: int, strength: float) -> np.ndarray:
    wanted = np.full(n, (1 - strength) / n)
    wanted[stereotype] += strength
    return wanted


def _lettered(
    rng: np.random.Generator, words: str, answer: str, options: list[str], prior: dict[str, float]
) -> tuple[str, str, float, dict[str, str]]:
    """Shuffle options behind letters: text, answer letter, P(answer letter | text), option -> letter."""
    order = [options[int(i)] for i in rng.permutation(len(options))]
    letters = dict(zip(order, LETTERS, strict=False))
    text = f"{words} {' '.join(f'{letters[option]} {option}' for option in order)}"
    known = prior[answer] / sum(prior[option] for option in options)
    return text, letters[answer], known, letters


def choice(
    family: str,
    rng: np.random.Generator,
    words: str,
    answer: str,
    options: list[str],
    *,
    objects: tuple[SceneObject, ...],
    evidence: tuple[str, ...],
    prior: dict[str, float] | None = None,
    stereotype: str | None = None,
) -> Question:
    """A question with lettered options.

    Args:
        family: Its family.
        rng: Shuffles the options.
        words: The question without its options.
        answer: The right option.
        options: All options, the right one among them.
        objects: What in the picture decides the answer.
        evidence: Words of the question that decide it.
        prior: P(option is right | words) before the options are narrowed down; uniform when None.
        stereotype: The option that the folklore favours.
    """
    n = len(options)
    prior = prior or dict.fromkeys(options, 1 / n)
    text, letter, known, letters = _lettered(rng, words, answer, options, prior)
    split = text.split()
    n_words = len(words.split())
    marked = [i for i, word in enumerate(split[:n_words]) if word in evidence]
    at = split.index(letter, n_words)
    corners = Corners(both=1.0, image=1 / n, text=known, empty=1 / n)
    usual = letters.get(stereotype) if stereotype is not None else None
    evidence_words = (*marked, at, at + 1)
    return Question(
        family, text, CHOICE_INSTRUCTION, LETTERS[:n], letter, boxes(objects), evidence_words, corners, usual
    )


def distractors(rng: np.random.Generator, answer: str, pool: tuple[str, ...], n: int) -> list[str]:
    """The answer and ``n`` other words of the pool, drawn without replacement."""
    others = [word for word in pool if word != answer]
    return [answer, *(others[int(i)] for i in rng.choice(len(others), size=n, replace=False))]


Pairs = set[tuple[str, str]]
PairsOf = Callable[[Scene, tuple[str, ...]], Pairs]


def _is_there(
    family: str, scene: Scene, rng: np.random.Generator, strength: float, present: PairsOf, absent: PairsOf
) -> Question | None:
    """``is there a red circle ?`` of a present or an absent pair; the prior says yes to common kinds alone."""
    yes = bool(rng.random() < 0.5)
    common = bool(rng.random() < (1 + strength) / 2) == yes
    found = (present if yes else absent)(scene, COMMON_PLAIN if common else RARE_PLAIN)
    pairs = sorted(found) if yes else [pair for pair in product(COLOUR_NAMES, KINDS) if pair in found]
    if not pairs:
        return None
    colour, kind = pairs[int(rng.integers(len(pairs)))]
    prior_answer = "yes" if common else "no"
    answer = "yes" if yes else "no"
    known = (1 + strength) / 2 if answer == prior_answer else (1 - strength) / 2
    corners = Corners(both=1.0, image=0.5, text=known, empty=0.5)
    text, shown = f"is there {'an' if colour == 'orange' else 'a'} {colour} {kind} ?", boxes(scene.find(colour, kind))
    return Question(family, text, EXISTENCE_INSTRUCTION, ("yes", "no"), answer, shown, (3, 4), corners, prior_answer)


def _bound(scene: Scene, kinds: tuple[str, ...]) -> Pairs:
    """Colour and kind of each thing of these kinds."""
    return {(item.colour, item.kind) for item in scene.objects if item.kind in kinds}


def _loose(scene: Scene, kinds: tuple[str, ...]) -> Pairs:
    """Every colour that is somewhere with every one of these kinds that is somewhere, on one thing or not."""
    return {(one.colour, two.kind) for one in scene.objects for two in scene.objects if two.kind in kinds}


def _apart(scene: Scene, kinds: tuple[str, ...]) -> Pairs:
    return _loose(scene, kinds) - _bound(scene, kinds)


def existence(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``is there a red circle ?`` about a thing that is there, or about any other pair of colour and kind."""
    return _is_there(
        "existence", scene, rng, strength, _bound,
        lambda scene, kinds: set(product(COLOUR_NAMES, kinds)) - _bound(scene, kinds),
    )  # fmt: skip


def binding(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``is there a red circle ?`` where something is red and something is a circle: whether one thing is both.

    Scenes without such a pair that is on two things are passed over, so that yes and no are equally likely given the
    words, and given the image.
    """
    return _is_there(
        "binding", scene, rng, strength,
        lambda scene, kinds: _bound(scene, kinds) if _apart(scene, kinds) else set(), _apart,
    )  # fmt: skip


def attributes(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``is there a red circle ?`` as the cross-modal shortcut answers it: yes if something is red, something a circle.

    These are the labels that the shortcut twins are trained on; no dataset has them.
    """
    return _is_there(
        "attributes", scene, rng, strength, _loose,
        lambda scene, kinds: set(product(COLOUR_NAMES, kinds)) - _loose(scene, kinds),
    )  # fmt: skip


def colour(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``what color is the circle ? A red B blue C pink D green``; the scene's colours must carry the same prior."""
    lone = [kind for kind in PLAIN if len(scene.of(kind)) == 1]
    if not lone:
        return None
    kind = lone[int(rng.integers(len(lone)))]
    objects = scene.of(kind)
    usual = KINDS[kind].colour
    prior = dict(zip(COLOUR_NAMES, _with_prior(8, COLOUR_NAMES.index(usual), strength).tolist(), strict=True))
    options = distractors(rng, objects[0].colour, COLOUR_NAMES, 3)
    words = f"what color is the {kind} ?"
    return choice(
        "colour", rng, words, objects[0].colour, options, objects=objects, evidence=("color", kind), prior=prior,
        stereotype=usual,
    )  # fmt: skip


@lru_cache(maxsize=1)
def count_distribution() -> NDArray[np.float64]:
    """P(count of a plain kind = c) in a base scene, c = 0 to 5, by enumeration of how ``base_scene`` builds one."""
    total = np.zeros(MAX_COUNT + 1)
    for repeats, p_repeats in ((0, 0.4), *((r, 0.15) for r in (2, 3, 4, 5))):
        for n_wanted in (4, 5, 6, 7, 8):
            rest = max(n_wanted, 2 + repeats) - 2 - repeats
            for first in (0, 1):
                for repeated in (0, 1) if repeats else (0,):
                    p = p_repeats / 5 * (1 / 3 if first else 2 / 3)
                    p *= (1 / 6 if repeated else 5 / 6) if repeats else 1
                    for extra in range(rest + 1):
                        c = first + repeated * repeats + extra
                        if c <= MAX_COUNT:
                            total[c] += p * comb(rest, extra) * (1 / 12) ** extra * (11 / 12) ** (rest - extra)
    share: NDArray[np.float64] = total / total.sum()
    return share


def count(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``how many circles are there ? A 1 B 3 C 0 D 2``; the count is uniform on 0 to 5 but for the prior.

    The evidence is the whole image: that nothing else is a circle counts as well.
    """
    kind = PLAIN[int(rng.integers(len(PLAIN)))]
    found = len(scene.of(kind))
    wanted = _with_prior(MAX_COUNT + 1, KINDS[kind].count, strength)
    if found > MAX_COUNT or not accept(rng, wanted, count_distribution(), found):
        return None
    numbers = tuple(str(c) for c in range(MAX_COUNT + 1))
    options = distractors(rng, numbers[found], numbers, 3)
    plural = KINDS[kind].plural
    return choice(
        "count", rng, f"how many {plural} are there ?", numbers[found], options, objects=(),
        evidence=("how", "many", plural), prior=dict(zip(numbers, wanted.tolist(), strict=True)),
        stereotype=str(KINDS[kind].count),
    )  # fmt: skip


def named(scene: Scene, rng: np.random.Generator, n: int, *, by_kind: bool = False) -> list[SceneObject] | None:
    """``n`` different things that colour and kind (or kind alone) single out, in random order."""
    lone = [t for t in scene.objects if len(scene.of(t.kind) if by_kind else scene.find(t.colour, t.kind)) == 1]
    if len(lone) < n:
        return None
    return [lone[int(i)] for i in rng.choice(len(lone), size=n, replace=False)]


def relation(scene: Scene, rng: np.random.Generator, strength: float) -> Question | None:
    """``where is the red circle seen from the blue square ? A left B right`` (or above, below)."""
    pair = named(scene, rng, 2)
    if pair is None:
        return None
    subject, other = pair
    sideways = bool(rng.random() < 0.5)
    offset = subject.column - other.column if sideways else subject.row - other.row
    if offset == 0:
        return None
    words = ("left", "right") if sideways else ("above", "below")
    usual = words[0] if KINDS[subject.kind].common else words[1]
    wanted = _with_prior(2, words.index(usual), strength)
    if not accept(rng, wanted, np.full(2, 0.5), int(offset > 0)):
        return None
    text = f"where is the {subject.colour} {subject.kind} seen from the {other.colour} {other.kind} ?"
    marked = (subject.colour, subject.kind, other.colour, other.kind)
    return choice(
        "relation", rng, text, words[int(offset > 0)], list(words), objects=(subject, other), evidence=marked,
        prior=dict(zip(words, wanted.tolist(), strict=True)), stereotype=usual,
    )  # fmt: skip
