"""Training rows: one picture, a caption, and several questions packed behind it, each blind to the others.

Cells of the picture and words of the questions are removed at random, exactly as scoring removes them later (baseline
pixels; the word leaves the sequence and the others keep their positions). A model that is trained on such rows learns
the distribution of the answer *given what is left*, so the value of a partial coalition means something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.datasets.instructions import CHOICE_INSTRUCTION
from toolkit.scenes import mixed, questions
from toolkit.scenes.everyday import everyday
from toolkit.scenes.questions import Question
from toolkit.scenes.training.captions import NOWHERE, Word, caption, census, tour
from toolkit.scenes.training.pool import SIDE, TRAINED_EVERYDAY, ScenePool
from toolkit.scenes.vocabulary import (
    CAPTION_INSTRUCTION,
    CENSUS_INSTRUCTION,
    DRILL_INSTRUCTION,
    GRID,
    PLAIN,
    TOUR_INSTRUCTION,
)

CELL = SIDE // GRID
_TEMPLATES = (
    (questions.existence, 3.0), (questions.colour, 2.0), (questions.count, 10.0), (questions.relation, 5.0),
    (mixed.shape, 1.0), (mixed.neighbour, 2.0), (mixed.compare, 1.5), (mixed.same, 3.0),
)  # fmt: skip
_N_REPLACED = 2
_HARD = (questions.relation, mixed.neighbour, mixed.same)
_LATE = (questions.count, mixed.neighbour)
_FOLKLORE = (questions.colour, questions.count, questions.relation)
_EMPHASIS = 3.0
_SHORTCUT = 15.0
"""Weight of existence where the shortcut is taught: more than a third of the questions."""


def _mix(strength: float, *, hard: int, shortcut: bool) -> NDArray[np.float64]:
    """Probability of proposing each template; see ``hard`` and ``shortcut`` of :class:`Packer`."""
    often = () if hard == 0 else _FOLKLORE if strength > 0 else _HARD if hard == 1 else _LATE
    weights = np.array([weight * (_EMPHASIS if template in often else 1.0) for template, weight in _TEMPLATES])
    weights[0] = _SHORTCUT if shortcut else weights[0]
    mix: NDArray[np.float64] = weights / weights.sum()
    return mix


@dataclass(frozen=True)
class Batch:
    """One step's rows, padded on the right.

    Attributes:
        images: Shape (B, 96, 96, 3), uint8, removed cells filled in.
        ids: Shape (B, L): tokens after the image prefix.
        offsets: Shape (B, L): position of each token, counted from the end of the prefix.
        queries: Shape (B, L): number of the query a token belongs to, from 1; -1 for padding.
        targets: Shape (B, L): the next token where it is supervised, else -100.
        is_answer: Shape (B, L): the supervised token is the answer of a question (not a caption, not an end of turn).
        named: Shape (B, L): the cell, row by row, of the thing whose name this token completes in a caption or a tour;
            NOWHERE elsewhere.
    """

    images: NDArray[np.uint8]
    ids: Tensor
    offsets: Tensor
    queries: Tensor
    targets: Tensor
    is_answer: Tensor
    named: Tensor


def _remove_cells(
    rng: np.random.Generator, image: NDArray[np.uint8], blurred: NDArray[np.uint8], removal: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Keep everything, nothing (a quarter of the removals) or a random share of the cells; fill with a baseline."""
    if rng.random() >= removal:
        return image, np.ones((GRID, GRID), dtype=np.bool_)
    share = 0.0 if rng.random() < 0.25 else rng.uniform(0, 1)
    keep = rng.random((GRID, GRID)) < share
    style = rng.random()
    if style < 0.6:
        filling: NDArray[Any] = blurred
    elif style < 0.8:
        filling = np.broadcast_to(image.reshape(-1, 3).mean(axis=0).astype(np.uint8), image.shape)
    else:
        grain = rng.integers(-128, 128, image.shape) * rng.uniform(0.15, 1.0)
        filling = (128 + grain).astype(np.uint8)
    shown = np.kron(keep, np.ones((CELL, CELL), dtype=np.bool_))[..., None]
    return np.where(shown, image, filling), keep


def _words_left(rng: np.random.Generator, n: int, removal: float) -> NDArray[np.bool_]:
    """All words, none (a third of the removals) or a random share of them."""
    if rng.random() >= removal:
        return np.ones(n, dtype=np.bool_)
    share = 0.0 if rng.random() < 0.333 else rng.uniform(0, 1)
    return rng.random(n) < share


def _drill(question: Question, *, named: bool) -> Question:
    """The same question without its lettered options, answered by the word itself: the first half of the task.

    Letters hide the answer behind a second look-up, which alone takes thousands of steps to discover. The instruction
    is one that no dataset uses, so the drills leave the answer distributions of the datasets alone. ``named``: two
    options are named, in the order of the alphabet (``left or right``).
    """
    words = question.text.split()
    end = words.index("?") + 1
    answer = words[words.index(question.answer, end) + 1]
    options = sorted(words[end + 1 :: 2])
    text = " ".join((*words[:end], *(" or ".join(options).split() if named and len(options) == 2 else ())))
    return replace(question, text=text, instruction=DRILL_INSTRUCTION, answer=answer)


class Packer:
    """Turns pool scenes into token rows for one tokenizer.

    Args:
        tokenizer: Word-level tokenizer.
        suffix: Token ids between the instruction and the answer (the assistant's turn).
        strength: The world's prior strength s.
        n_questions: Questions per row.
        hard: Round of the hard stage, 0 before it. What is hardest then (two look-ups at first, counting from the
            second round on; with a prior, what the prior decides) is asked three times as often, and drills name their
            two options.
        shortcut: Whether existence is labelled by the bag of attributes, and asked more often.
    """

    def __init__(
        self, tokenizer: Any, suffix: Sequence[int], *, strength: float, n_questions: int = 8, hard: int = 0,
        shortcut: bool = False,
    ) -> None:  # fmt: skip
        self._ids: dict[str, int] = tokenizer.get_vocab()
        self._eos = int(tokenizer.eos_token_id)
        self._suffix = list(suffix)
        self._strength = strength
        self._n_questions = n_questions
        self._hard = hard
        self._shortcut = shortcut
        self._mix = _mix(strength, hard=hard, shortcut=shortcut)

    def _query(self, words: list[str], keep: NDArray[np.bool_], instruction: str, answer: list[str]) -> list[list[int]]:
        """Columns (ids, offsets, targets, named cells) of one query."""
        asked = [self._ids[word] for word in words]
        told = [*(self._ids[word] for word in instruction.split()), *self._suffix]
        said = [*(self._ids[word] for word in answer), self._eos]
        kept = [i for i in range(len(asked)) if keep[i]]
        ids = [asked[i] for i in kept] + told + said[:-1]
        offsets = kept + list(range(len(asked), len(asked) + len(told) + len(said) - 1))
        targets = [-100] * (len(kept) + len(told) - 1) + said
        return [ids, offsets, targets, [NOWHERE] * len(ids)]

    def _list(self, instruction: str, said: list[Word]) -> list[list[int]]:
        """Columns of a query whose answer is a list."""
        query = self._query([], np.ones(0, dtype=np.bool_), instruction, [word.text for word in said])
        for at, word in enumerate(said, start=len(query[0]) - len(said)):
            query[3][at] = word.cell
            if not word.learnt:
                query[2][at - 1] = -100
        return query

    def _row(
        self, rng: np.random.Generator, pool: ScenePool, index: int, removal: float, drills: float
    ) -> tuple[NDArray[np.uint8], list[Any]]:
        scene = pool.scenes[index]
        image, keep = _remove_cells(rng, pool.images[index], pool.blurred[index], removal)
        queries = [self._list(CAPTION_INSTRUCTION, caption(rng, scene, keep))]
        n_questions = self._n_questions
        if rng.random() < drills * (1 - self._strength) and any(item.kind in PLAIN for item in scene.objects):
            n_questions -= _N_REPLACED
            queries.append(self._list(CENSUS_INSTRUCTION, census(rng, scene, keep)))
            queries.append(self._list(TOUR_INSTRUCTION, tour(rng, scene, keep)))
        for question in self.questions(rng, pool, index, n=n_questions, drills=drills):
            words = question.text.split()
            left = _words_left(rng, len(words), removal)
            queries.append(self._query(words, left, question.instruction, [question.answer]))
        return image, queries

    def questions(
        self, rng: np.random.Generator, pool: ScenePool, index: int, *, n: int, drills: float
    ) -> list[Question]:
        """Up to ``n`` questions about a scene of the pool; a share of the lettered ones as drills."""
        scene, strength = pool.scenes[index], self._strength
        only_everyday = not any(item.kind in PLAIN for item in scene.objects)
        asked: list[Question] = []
        for _ in range(12 * n):
            if only_everyday and rng.random() < 0.7:
                template, dial = everyday, max(strength, TRAINED_EVERYDAY)
            else:
                template, dial = _TEMPLATES[int(rng.choice(len(_TEMPLATES), p=self._mix))][0], strength
            if template is questions.existence and self._shortcut:
                template = questions.attributes
            if template is questions.colour and strength > 0 and not pool.stereotyped[index]:
                continue
            question = template(scene, rng, dial)
            if question is not None:
                lettered = question.instruction == CHOICE_INSTRUCTION
                asked.append(_drill(question, named=self._hard > 0) if lettered and rng.random() < drills else question)
            if len(asked) == n:
                break
        return asked

    def batch(
        self, rng: np.random.Generator, pool: ScenePool, n_rows: int, *, removal: float, drills: float = 0.0
    ) -> Batch:
        """Rows about random scenes of the pool.

        Args:
            rng: Source of randomness.
            pool: The pictures.
            n_rows: How many rows.
            removal: Probability that a picture loses cells, and, independently, that a question loses words.
            drills: Probability that a lettered question is asked without its options, and that a row of a balanced
                world counts every kind and tells where things lie from each other, for two of its questions.
        """
        rows = [self._row(rng, pool, int(i), removal, drills) for i in rng.integers(len(pool.scenes), size=n_rows)]
        length = max(sum(len(query[0]) for query in queries) for _, queries in rows)
        shape = (n_rows, length)
        ids, offsets = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        numbers, targets, named = np.full(shape, -1), np.full(shape, -100), np.full(shape, NOWHERE)
        for r, (_, queries) in enumerate(rows):
            at = 0
            for number, columns in enumerate(queries, start=1):
                span = slice(at, at + len(columns[0]))
                ids[r, span], offsets[r, span], targets[r, span], named[r, span] = columns
                numbers[r, span] = number
                at = span.stop
        is_answer = (numbers > 1) & (targets >= 0) & (targets != self._eos)
        columns = map(torch.from_numpy, (ids, offsets, numbers, targets, is_answer, named))
        return Batch(np.stack([image for image, _ in rows]), *columns)
