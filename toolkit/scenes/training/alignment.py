"""First stage of training: the model learns to say, per cell, what is there and where, in the decoder's own words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from toolkit.scenes.training.pool import IGNORED, ScenePool
from toolkit.scenes.training.student import Student
from toolkit.scenes.vocabulary import COLOURS, COLUMNS, GRID, KINDS, ROWS

_COLOUR_WORDS = ("nothing", *COLOURS)
_KIND_WORDS = ("empty", *KINDS)
_NOTHING = 0.2
"""Weight of cells that hold nothing; most do."""


class Aligner:
    """Cross-entropy of each cell's state against groups of word embeddings.

    Within a group (colours, kinds, rows, columns) the logit of a word is the dot product of a cell's state with the
    word's input embedding as it was when the aligner was made. What is in a cell is read from its image token. Where it
    lies is read there too if the tower has absolute positions; Qwen2.5-VL's has none, so its decoder must find out, by
    M-RoPE and the causal mask, and is asked after its first layer: the other layers have comparing to do.

    Args:
        student: The model in training.
        tower_knows_positions: Whether the tower has absolute positions.
    """

    def __init__(self, student: Student, *, tower_knows_positions: bool) -> None:
        self.student = student
        self.tower_knows_positions = tower_knows_positions
        tokenizer = student.processor.tokenizer
        table = student.model.get_input_embeddings().weight.detach()

        def words(group: Iterable[str]) -> Tensor:
            ids = torch.tensor(tokenizer.convert_tokens_to_ids(list(group)), device=student.device)
            return cast(Tensor, table[ids].clone())

        self._content = {"colour": words(_COLOUR_WORDS), "kind": words(_KIND_WORDS)}
        self._place = {"row": words(ROWS), "column": words(COLUMNS)}

    def loss(self, pool: ScenePool, chosen: np.ndarray) -> tuple[Tensor, dict[str, float]]:
        """Summed cross-entropy (nats) of the four groups, and the share of right words per group."""
        tokens = self.student.see(pool.images[chosen])
        content = {"colour": pool.colours[chosen], "kind": pool.kinds[chosen]}
        total = torch.zeros((), device=tokens.device)
        right: dict[str, float] = {}
        for name, words in self._content.items():
            target = torch.from_numpy(content[name]).flatten(1).to(tokens.device)
            weights = torch.ones(len(words), device=tokens.device)
            weights[0] = _NOTHING
            logits = tokens @ words.T
            total = total + functional.cross_entropy(
                logits.flatten(0, 1), target.flatten(), weight=weights, ignore_index=IGNORED
            )
            occupied = target > 0
            right[name] = float((logits.argmax(-1) == target)[occupied].float().mean())
        states = tokens if self.tower_knows_positions else self.student.first_layer(tokens)
        placed, rights = self.position_loss(states, self.every_cell(len(states)))
        return total + placed, {**right, **rights}

    def every_cell(self, n: int) -> Tensor:
        """Shape (n, 36): the cells' numbers, row by row."""
        return torch.arange(GRID * GRID, device=self.student.device).expand(n, -1)

    def position_loss(self, states: Tensor, cells: Tensor) -> tuple[Tensor, dict[str, float]]:
        """As :meth:`loss`, for rows and columns alone, from states (..., dim) of these cells (...); 0 of none."""
        states, cells = states.flatten(0, -2), cells.flatten()
        total = torch.zeros((), device=states.device)
        right: dict[str, float] = {}
        if not len(states):  # every thing is hidden, so nothing is named
            return total, right
        for (name, words), target in zip(self._place.items(), (cells // GRID, cells % GRID), strict=True):
            logits = states @ words.T
            total = total + functional.cross_entropy(logits, target)
            right[name] = float((logits.argmax(-1) == target).float().mean())
        return total, right
