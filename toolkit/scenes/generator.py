"""Generate samples: each is a function of (dataset, split, seed, index, prior strength)."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from toolkit.datasets.sample import Sample, Truth
from toolkit.registry import UnknownNameError
from toolkit.scenes import mixed, questions
from toolkit.scenes.draw_scene import draw
from toolkit.scenes.everyday import everyday
from toolkit.scenes.questions import Question, Template
from toolkit.scenes.world import Scene, base_scene, everyday_scene

SPLITS: dict[str, range] = {"train": range(0, 8), "validation": range(8, 9), "test": range(9, 10)}
"""Tenths of the space of scene layouts that belong to each split: no layout is ever in two splits."""

IMAGE_SIZE = 384
EVERYDAY_STRENGTH = 0.6
"""Prior strength of everyday objects unless another is asked for: most lemons are yellow, not all.

At .6 each of synergy, redundancy, text-only and image-only is the gate of at least a tenth of the samples; at .5 and
below none is redundant (what a lone lemon shows beyond the stereotype is larger), at 1 none is synergy.
"""

FAMILIES: dict[str, tuple[Template, ...]] = {
    "scenes-existence": (questions.existence,),
    "scenes-choice": (questions.colour, questions.count, questions.relation),
    "scenes-mixed": (mixed.shape, mixed.neighbour, mixed.compare, mixed.same),
    "scenes-everyday": (everyday,),
    "scenes-binding": (questions.binding,),
}
"""The datasets of the embedded world and the question templates that take turns in each."""


def split_of(scene: Scene) -> str:
    """The split that a scene's layout belongs to, by a hash of what lies where."""
    words = ";".join(f"{t.colour} {t.kind} {t.row} {t.column}" for t in scene.objects)
    tenth = zlib.crc32(words.encode()) % 10
    return next(split for split, tenths in SPLITS.items() if tenth in tenths)


def everyday_size(rng: np.random.Generator) -> int:
    """How many things an everyday scene holds: one (40 %) or two to four (20 % each)."""
    return int(rng.choice([1, 2, 3, 4], p=[0.4, 0.2, 0.2, 0.2]))


def scene_for(template: Template, rng: np.random.Generator, strength: float) -> Scene:
    """A scene from the distribution under which the template's Bayes values hold."""
    if template is everyday:
        return everyday_scene(rng, n_objects=everyday_size(rng), stereotyped=strength)
    return base_scene(rng, stereotyped=strength if template is questions.colour else 0.0)


def propose(template: Template, rng: np.random.Generator, strength: float, split: str) -> tuple[Scene, Question]:
    """Draw scenes of a split until the template accepts one."""
    while True:
        scene = scene_for(template, rng, strength)
        if split_of(scene) != split:
            continue
        question = template(scene, rng, strength)
        if question is not None:
            return scene, question


def default_strength(name: str) -> float:
    """Prior strength of a dataset when none is given: 0 (balanced), 0.6 for everyday objects."""
    return EVERYDAY_STRENGTH if name == "scenes-everyday" else 0.0


def check_request(name: str, split: str, n: int, prior_strength: float | None) -> float:
    """Validate what was asked for and return the prior strength.

    Raises:
        UnknownNameError: No such dataset or split.
        ValueError: n below 1, or a prior strength outside [0, 1].
    """
    if name not in FAMILIES:
        raise UnknownNameError("scenes dataset", name, FAMILIES)
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    strength = default_strength(name) if prior_strength is None else float(prior_strength)
    if not 0 <= strength <= 1:
        raise ValueError(f"prior_strength must lie in [0, 1], got {prior_strength}")
    return strength


def load(
    name: str, split: str = "test", n: int = 20, *, seed: int = 0, prior_strength: float | None = None
) -> list[Sample]:
    """Generate samples of the embedded world.

    Args:
        name: ``scenes-existence``, ``scenes-choice``, ``scenes-mixed``, ``scenes-everyday`` or ``scenes-binding``.
        split: ``train``, ``validation`` or ``test``; layouts never overlap between splits.
        n: How many; the first n of an endless list.
        seed: Another seed is another list.
        prior_strength: s in [0, 1]: the language prior. 0 is balanced, 1 lets the words alone decide. None is 0 for
            the plain families and 0.6 for everyday objects.

    Returns:
        Samples with ground truth; equal arguments give equal samples, on every machine.

    Raises:
        UnknownNameError: Unknown dataset or split.
        ValueError: n or prior_strength out of range.
    """
    strength = check_request(name, split, n, prior_strength)
    return [_sample(name, split, seed, index, strength) for index in range(n)]


def sample_at(
    index: int, name: str, split: str = "test", *, seed: int = 0, prior_strength: float | None = None
) -> Sample:
    """The sample at a place of the list that :func:`load` gives, without those before it.

    Args:
        index: Its place, 0 for the first.
        name: As for :func:`load`.
        split: As for :func:`load`.
        seed: As for :func:`load`.
        prior_strength: As for :func:`load`.

    Raises:
        UnknownNameError: Unknown dataset or split.
        ValueError: ``index`` below 0, or prior_strength out of range.
    """
    if index < 0:
        raise ValueError(f"index must be at least 0, got {index}")
    return _sample(name, split, seed, index, check_request(name, split, 1, prior_strength))


def _sample(name: str, split: str, seed: int, index: int, strength: float) -> Sample:
    scene, question = drawn_at(index, name, split, seed=seed, prior_strength=strength)
    dial = "" if strength == default_strength(name) else f"@{strength:g}"
    return to_sample(scene, question, f"{name}{dial}/{split}/{seed}/{index:05d}", name)


def drawn_at(index: int, name: str, split: str, *, seed: int, prior_strength: float) -> tuple[Scene, Question]:
    """Scene and question of the sample at a place of the list that :func:`load` gives."""
    key = [seed, zlib.crc32(f"{name}/{split}".encode()), round(prior_strength * 1_000_000), index]
    rng = np.random.default_rng(key)
    templates: tuple[Callable[..., Question | None], ...] = FAMILIES[name]
    return propose(templates[index % len(templates)], rng, prior_strength, split)


def to_sample(scene: Scene, question: Question, name: str, dataset: str) -> Sample:
    """Draw the scene and attach the question with its truth."""
    truth = Truth(
        gate=question.gate, evidence_boxes=question.evidence_boxes, evidence_words=question.evidence_words,
        bayes=question.bayes, prior_answer=question.prior_answer, family=question.family,
        is_control=question.family not in mixed.UNSOLVED,
    )  # fmt: skip
    return Sample(
        id=name, image=draw(scene, IMAGE_SIZE), question=question.text, instruction=question.instruction,
        choices=question.choices, answer=question.answer, image_id=name, dataset=dataset, category=question.family,
        truth=truth,
    )  # fmt: skip
