"""First stage of training: the vision tower learns to say, per cell, what is there, in the decoder's own words."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from toolkit.scenes.pool import IGNORED, ScenePool
from toolkit.scenes.student import Student
from toolkit.scenes.vocabulary import COLOURS, COLUMNS, GRID, KINDS, ROWS

_COLOUR_WORDS = ("nothing", *COLOURS)
_KIND_WORDS = ("empty", *KINDS)


class Aligner:
    """Cross-entropy of each image token against groups of word embeddings.

    Within a group (colours, kinds, rows, columns) the logit of a word is the dot product of the image token with the
    word's input embedding; the embeddings stay as they are. Rows and columns are left out where the tower has no
    absolute positions (Qwen2.5-VL), whose decoder reads them from M-RoPE.

    Args:
        student: The model in training.
        positions: Whether the tower can know rows and columns.
    """

    def __init__(self, student: Student, *, positions: bool) -> None:
        self._student = student
        self._positions = positions
        tokenizer = student.processor.tokenizer
        groups = (_COLOUR_WORDS, _KIND_WORDS, ROWS, COLUMNS)
        ids = [torch.tensor(tokenizer.convert_tokens_to_ids(list(group))) for group in groups]
        table = student.model.get_input_embeddings().weight.detach()
        self._words = [table[group.to(student.device)].clone() for group in ids]

    def loss(self, pool: ScenePool, chosen: np.ndarray) -> tuple[Tensor, dict[str, float]]:
        """Summed cross-entropy (nats) of the groups, and the share of right words per group."""
        tokens = self._student.see(pool.pictures[chosen])
        device = tokens.device
        cell = torch.arange(GRID * GRID, device=device).expand(len(chosen), -1)
        targets = [
            torch.from_numpy(pool.colours[chosen]).flatten(1).to(device),
            torch.from_numpy(pool.kinds[chosen]).flatten(1).to(device),
        ]
        if self._positions:
            targets += [cell // GRID, cell % GRID]
        total = torch.zeros((), device=device)
        right: dict[str, float] = {}
        for name, words, target in zip(("colour", "kind", "row", "column"), self._words, targets, strict=False):
            logits = tokens @ words.T
            weights = torch.ones(len(words), device=device)
            if name in ("colour", "kind"):
                weights[0] = 0.2
            total = total + functional.cross_entropy(
                logits.flatten(0, 1), target.flatten(), weight=weights, ignore_index=IGNORED
            )
            occupied = target > 0
            right[name] = float((logits.argmax(-1) == target)[occupied].float().mean())
        return total, right
