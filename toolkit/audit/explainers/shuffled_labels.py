"""A copy of an embedded model that was trained on the same questions with permuted answers, until it knows nothing.

An explanation of what a model learnt must change when there is nothing to learn. The copy sees the pictures and the
questions of the embedded world, rendered and packed as in training, but in every step the answers are permuted among
the questions that are answered by words of the same kind (yes and no; letters; colours; ...), so that answers stay as
frequent as they were and say nothing about picture or question. Training stops when the copy is right as often as a
guess.

Adebayo et al. train from scratch until shuffled labels are learnt by heart. A copy that starts from the trained weights
and unlearns takes a minute instead of an hour and is the harder test for a map that lives on early features: those stay
nearly as they were, while the answer no longer depends on them.

Reference: Adebayo et al., Sanity checks for saliency maps, 2018, arXiv 1810.03292, section 3.2.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.audit.explainers.sanity_checks import with_model
from toolkit.datasets.sample import Sample
from toolkit.scenes.training.pool import make_pool
from toolkit.scenes.training.student import Student
from toolkit.scenes.training.text_packing import Batch, Packer
from toolkit.scenes.training.train import Optimisers
from toolkit.scenes.vocabulary import COLOURS, DIRECTIONS, KINDS, LETTERS, NUMBERS
from toolkit.vlm.protocol import VLM

if TYPE_CHECKING:
    from toolkit.vlm.model import LoadedVLM

_KINDS_OF_ANSWER: tuple[tuple[str, ...], ...] = (
    ("yes", "no"), LETTERS, tuple(COLOURS), tuple(KINDS), NUMBERS, DIRECTIONS,
)  # fmt: skip

ROWS = 8
"""Pictures of a step, with eight questions each."""


@dataclass(frozen=True)
class Shuffled:
    """A model that unlearnt its answers.

    Attributes:
        vlm: The model.
        n_steps: Training steps on permuted answers.
        before: Share of probe samples that the original answers right.
        after: The same for this one.
        chance: The share that a guess among the choices gets right.
        n_probe: Probe samples.
    """

    vlm: VLM = field(repr=False)
    n_steps: int
    before: float
    after: float
    chance: float
    n_probe: int


def permuted(answers: NDArray[np.int64], kinds: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Answer tokens (n,) permuted among those of the same kind (n,); each kind keeps its frequencies."""
    shuffled = answers.copy()
    for kind in np.unique(kinds):
        where = np.flatnonzero(kinds == kind)
        shuffled[where] = answers[rng.permutation(where)]
    return shuffled


def shuffle_answers(batch: Batch, kind_of: dict[int, int], rng: np.random.Generator) -> Batch:
    """The batch with the answers of its questions permuted; captions and everything else stay."""
    answers = batch.targets[batch.is_answer].numpy()
    kinds = np.array([kind_of.get(int(answer), -1) for answer in answers])
    targets = batch.targets.clone()
    targets[batch.is_answer] = torch.from_numpy(permuted(answers, kinds, rng))
    return dataclasses.replace(batch, targets=targets)


def share_right(vlm: LoadedVLM, samples: Sequence[Sample]) -> float:
    """Share of samples that a model answers right, in [0, 1]."""
    answers = vlm.answers(samples)
    return float(np.mean([answer.text == sample.answer for answer, sample in zip(answers, samples, strict=True)]))


def guess(samples: Sequence[Sample]) -> tuple[float, float]:
    """What a guess among the choices gets right on average, and the standard error of that share."""
    chances = np.array([1 / len(sample.choices) for sample in samples if sample.choices], dtype=np.float64)
    return float(chances.mean()), math.sqrt(float((chances * (1 - chances)).sum())) / len(chances)


def shuffled_twin(
    vlm: VLM, probe: Sequence[Sample], *, seed: int = 0, steps: int = 60, max_steps: int = 300, rate: float = 1e-3
) -> Shuffled:
    """Fine-tune a copy of an embedded model on permuted answers until it is right no more often than chance.

    Args:
        vlm: An embedded model from ``load_vlm``; it is copied and not changed.
        probe: Samples with choices and right answers that say whether it still knows anything; 40 or more.
        seed: Seed of the pictures, the questions and the permutations.
        steps: Steps of a round; the probe is asked after each.
        max_steps: Most steps.
        rate: Learning rate of AdamW.

    Raises:
        TypeError: The model is not an embedded one from ``load_vlm``.
        ValueError: A probe sample without choices or answer, or an original that is no better than chance itself.
        RuntimeError: Still better than chance by more than two standard errors after ``max_steps``.
    """
    if not probe or any(sample.answer is None or not sample.choices for sample in probe):
        raise ValueError("the probe needs samples with choices and a right answer, which say what was unlearnt")
    vlm = _embedded(vlm)
    before, (chance, error) = share_right(vlm, probe), guess(probe)
    if before <= chance + 2 * error:
        raise ValueError(
            f"{vlm.name} answers {before:.0%} of {len(probe)} probe samples right and a guess {chance:.0%}: "
            "there is nothing to unlearn; take a trained model or a larger probe"
        )
    model: Any = copy.deepcopy(vlm.model)
    step = _trainer(model, vlm.adapter.processor, seed=seed, rate=rate)
    done = 0
    while done < max_steps:
        model.requires_grad_(True).train()
        for _ in range(min(steps, max_steps - done)):
            step(done)
            done += 1
        model.requires_grad_(False).eval()
        twin = _embedded(with_model(vlm, model))
        after = share_right(twin, probe)
        if after <= chance + 2 * error:
            return Shuffled(twin, done, before, after, chance, len(probe))
    raise RuntimeError(
        f"after {done} steps on permuted answers the copy still answers {after:.0%} of {len(probe)} probe samples "
        f"right (chance {chance:.0%}); raise max_steps or the rate"
    )


def _embedded(vlm: VLM) -> LoadedVLM:
    from toolkit.vlm.model import LoadedVLM

    if not isinstance(vlm, LoadedVLM):
        raise TypeError(f"cannot train {type(vlm).__name__}; expected a model from load_vlm")
    known = vlm.adapter.processor.tokenizer.get_vocab()
    missing = sorted({word for words in _KINDS_OF_ANSWER for word in words} - set(known))
    if missing:
        raise TypeError(
            f"{vlm.name} does not know the words of the embedded world ({', '.join(missing[:3])}, ...); only embedded "
            "models can be trained on its questions"
        )
    return vlm


def _trainer(model: Any, processor: Any, *, seed: int, rate: float) -> Callable[[int], float]:
    """A function that takes one step on permuted answers and returns its loss, in nats per answer."""
    model.requires_grad_(True)
    student = Student(model, processor)
    packer = Packer(processor.tokenizer, student.suffix, strength=0.0)
    pool = make_pool(500, seed=seed + 1, strength=0.0, workers=1)
    vocabulary = processor.tokenizer.get_vocab()
    kind_of = {vocabulary[word]: kind for kind, words in enumerate(_KINDS_OF_ANSWER) for word in words}
    optimisers = Optimisers(list(model.named_parameters()), muon=0.0)

    def step(number: int) -> float:
        rng = np.random.default_rng([seed, number])
        batch = shuffle_answers(packer.batch(rng, pool, ROWS, removal=0.2), kind_of, rng)
        answers = student.loss(batch).answers
        optimisers.step(answers, rate)
        return float(answers.detach())

    return step
