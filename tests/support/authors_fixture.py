"""Inputs that the authors' code and ours are given: small models and games whose numbers follow from their names.

No file is needed to make them again, and nothing of the toolkit is imported: ``authors_record.py`` runs this in an
environment without it.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

N_CELLS, N_WORDS, DIM = 4, 3, 3
N_PLAYERS = N_CELLS + N_WORDS
TOKEN, VOCABULARY, WIDTH, LAYER = 5, 11, 16, 1
"""The explained token of the decoders, their sizes, and the layer that Grad-CAM looks at (of three)."""


def numbers(name: str, *shape: int) -> NDArray[np.float64]:
    """Numbers between -1 and 1 without an order that one can see, the same everywhere."""
    at = zlib.crc32(name.encode()) % 9973 + 1.6180339887 * np.arange(1, 1 + int(np.prod(shape)))
    return np.sin(at * at).reshape(shape)


def tensor(name: str, *shape: int) -> Tensor:
    """The same as a tensor in double precision."""
    return torch.from_numpy(numbers(name, *shape))


class Smooth(nn.Module):
    """P = sigmoid(a . tanh(W x)) of 4 x 4 pixels, four to each of 2 x 2 cells, and three embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Parameter(tensor("inner", 8, 16 + N_WORDS * DIM))
        self.outer = nn.Parameter(tensor("outer", 8))

    def forward(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Probabilities (B,) of pixels (B, 1, 4, 4) and embeddings (B, 3, 3)."""
        x = torch.cat([pixels.flatten(1), question.flatten(1)], dim=1)
        return torch.sigmoid(torch.tanh(x @ self.inner.T) @ self.outer)


def picture() -> Tensor:
    """Pixels (1, 1, 4, 4)."""
    return tensor("pixels", 1, 1, 4, 4)


def question() -> Tensor:
    """Embeddings (1, 3, 3)."""
    return tensor("question", 1, N_WORDS, DIM)


def everyone() -> NDArray[np.bool_]:
    """All 128 coalitions of seven players, (128, 7)."""
    return np.array([[bool(i >> j & 1) for j in range(N_PLAYERS)] for i in range(1 << N_PLAYERS)])


def values() -> NDArray[np.float64]:
    """A value for each of them, (128,): a game in which everything interacts with everything."""
    return numbers("game", 1 << N_PLAYERS)


def of_pairs() -> NDArray[np.float64]:
    """The same for a game in which only cells interact with words, and two by two."""
    there = everyone().astype(float)
    cells, words = there[:, :N_CELLS], there[:, N_CELLS:]
    both = np.einsum("si,ij,sj->s", cells, numbers("pairs", N_CELLS, N_WORDS), words)
    return np.asarray(both + there @ numbers("alone", N_PLAYERS))


def maps() -> NDArray[np.float64]:
    """An activation and an interference, (2, 6, 6), not negative."""
    return np.asarray(np.abs(numbers("maps", 2, 6, 6)))


def filled(model: nn.Module) -> nn.Module:
    """A decoder whose every parameter follows from its name, in double precision."""
    with torch.no_grad():
        model.double()
        for name, parameter in model.named_parameters():
            drawn = tensor(name, *parameter.shape)
            parameter.copy_(1 + 0.2 * drawn if "norm" in name else 0.4 * drawn)
    return model.eval()


def decoder(family: str) -> nn.Module:
    """A Llama or Qwen2 decoder of three layers with an answer head; the latter has biases."""
    import transformers

    config = getattr(transformers, f"{family}Config")(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, attn_implementation="eager", tie_word_embeddings=False, use_cache=False,
    )  # fmt: skip
    return filled(getattr(transformers, f"{family}ForCausalLM")(config))


def sequence() -> Tensor:
    """Embeddings (1, 7, WIDTH) of four cells and three words; the last position predicts."""
    return tensor("sequence", 1, N_PLAYERS, WIDTH)
