"""Weighted Banzhaf interactions between image cells and words, from images and questions that are drawn apart.

    pairs_ij = E_S [ v(S + i + j) - v(S + i) - v(S + j) + v(S) ],  every other player in S with probability p

Where players are present independently, these are the cross terms of the surrogate of second order that is closest to
the game in the mean of squares: covariances with presence. In a design every drawn image meets every drawn question, so

    pairs = (X_image - mean)^T  V  (X_text - mean) / (m_image m_text p^2 (1 - p)^2)

with V the values (images x questions), X presence and m the draws (less one each where they are independent). Pairs
within a modality need not be known, so n_image n_text unknowns stand where a regression on all pairs has n (n - 1) / 2.
At p = 1/2 the images and the questions of a design are columns of a Hadamard matrix, drawn and mirrored at random:
main effects do not disturb each other at all, and the estimate is unbiased. At another p draws are independent, the
estimate is unbiased too, and its error is larger.

Two or more designs are drawn: their mean is the estimate, their spread its standard error (``details["error"]``, root
mean square over pairs, in the unit of the values).

``mirrored=True`` asks every question's mirror too (the words that were there are absent, and the other way round), so
that what two words do together no longer disturbs what one does, which is most of the error. One design suffices: the
columns of its Hadamard matrix that stand for no cell say the standard error (for few cells somewhat too large a one).

Reference: FIxLIP, arXiv 2508.05430; weighted Banzhaf interaction: Marichal and Mathonet, 2011,
doi 10.1016/j.dam.2010.11.008; orthogonal designs: Plackett and Burman, 1946, doi 10.1093/biomet/33.4.305; mirrors
(fold-over): Box and Hunter, 1961, doi 10.1080/00401706.1961.10489951.
Adapted for autoregressive VLMs: an image is encoded once for all its questions.
Cost: at most ``budget`` forward rows over far fewer images (42 players: 1,024 rows, 128 images; mirrored 768 rows, 48
images); no gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.games.attribution import Details, InteractionAttribution
from toolkit.typing import Coalitions
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class BanzhafInteraction:
    """Cross-modal weighted Banzhaf interactions.

    Attributes:
        p: Probability that a player is present, in (0, 1).
        budget: Coalitions to evaluate at most; None takes two designs, or one that is mirrored.
        mirrored: Whether every question has its mirror; for p = 1/2.
    """

    p: float = 0.5
    budget: int | None = None
    mirrored: bool = False

    name: ClassVar[str] = "banzhaf-interaction"
    reference: ClassVar[str] = "FIxLIP 2025, arXiv 2508.05430"
    cost: ClassVar[str] = "two designs, 4 n_image n_text to 16 n_image n_text rows (42 players: 1,024 of 128 images)"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})

    def __post_init__(self) -> None:
        if not 0 < self.p < 1:
            raise ValueError(f"banzhaf-interaction: p is {self.p}; expected a probability between 0 and 1, 0.5 for one")
        if self.mirrored and self.p != 0.5:
            raise ValueError(f"banzhaf-interaction: mirrored questions need p = 0.5, got {self.p}")

    def design(self, n_image: int, n_text: int) -> tuple[int, int, int]:
        """Images and questions of a design, and the number of designs.

        Raises:
            ValueError: The budget does not hold two designs, or one that is mirrored.
        """
        images, questions = (1 << n.bit_length() for n in (n_image, n_text))  # powers of two above them
        if self.mirrored:
            images, questions = order_above(n_image + max(1, n_image // 4)), 2 * questions
        fewest, said = (1, "a mirrored design needs") if self.mirrored else (2, "two designs need")
        designs = fewest if self.budget is None else self.budget // (images * questions)
        if designs < fewest:
            raise ValueError(
                f"banzhaf-interaction: a budget of {self.budget} is too small for {n_image} cells and {n_text} words; "
                f"{said} {fewest * images * questions}, fewer players (players='grid:4x4') less"
            )
        return images, questions, designs

    def _weights(self, there: Coalitions) -> NDArray[np.float64]:
        """What turns values of draws (m,) into covariances with the presence of every player, (n, m)."""
        m = len(there) if self.p == 0.5 else len(there) - 1
        return np.asarray((there - there.mean(axis=0)).T / (m * self.p * (1 - self.p)), dtype=np.float64)

    def passes(self, n: int, n_text: int | None = None) -> Passes:
        """Rows for n players, of whom ``n_text`` are words; where that is not known, of the dearest question."""
        words = range(n + 1) if n_text is None else [n_text]
        designs = [self.design(n - some, some) for some in words]
        return Passes(max(images * questions * drawn for images, questions, drawn in designs))

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> InteractionAttribution:
        """Explain what cells and words do together.

        Raises:
            ValueError: The budget does not hold two designs.
        """
        target = resolve_target(vlm, sample, target)
        game = vlm.game(sample, target=target, baseline=baseline)
        n_image, n_text = game.players.n_image, game.players.n_text
        n_images, n_questions, n_designs = self.design(n_image, n_text)
        if self.mirrored:
            columns = [orthogonal_columns(n_images, rng) for _ in range(n_designs)]
            halves = [presence(n_text, n_questions // 2, 0.5, rng) for _ in range(n_designs)]
            drawn = [(images, np.concatenate([half, ~half])) for images, half in zip(columns, halves, strict=True)]
        else:
            drawn = [
                (presence(n_image, n_images, self.p, rng), presence(n_text, n_questions, self.p, rng))
                for _ in range(n_designs)
            ]
        values = game(np.concatenate([crossed(images[:, :n_image], questions) for images, questions in drawn]))
        tables = values.reshape(n_designs, n_images, n_questions)
        found = np.stack(
            [
                self._weights(images) @ table @ self._weights(questions).T
                for (images, questions), table in zip(drawn, tables, strict=True)
            ]
        )
        found, spare = found[:, :n_image], found[:, n_image:]
        variance = np.square(spare) if self.mirrored else found.var(axis=0, ddof=1)
        error = float(np.sqrt((variance / n_designs).mean()))
        details: Details = {"budget": len(values), "images": n_designs * n_images, "p": self.p, "error": error}
        return InteractionAttribution.from_pairs(
            found.mean(axis=0), game.players, self.name, target, n_evaluations=len(values), details=details
        )


def presence(n: int, rows: int, p: float, rng: np.random.Generator) -> Coalitions:
    """Who is there in each of ``rows`` draws, (rows, n): every player with probability p, half the rows at p = 1/2."""
    if p != 0.5:
        return np.asarray(rng.random((rows, n)) < p)
    columns = rng.choice(np.arange(1, rows), size=n, replace=False)
    return np.asarray((hadamard(rows)[:, columns] > 0) ^ (rng.random(n) < 0.5))


def order_above(n: int) -> int:
    """The smallest order above n of a Hadamard matrix: a power of two, alone or times q + 1, q a prime of 4 k + 3."""
    return next(m for m in count(n + 1) if m & (m - 1) == 0 or _paley_part(m))


def _paley_part(m: int) -> int:
    """The q + 1 of an order, or 0."""
    parts = (m >> a for a in range(m.bit_length()) if m % (1 << a) == 0)
    return next((p for p in parts if p % 4 == 0 and all((p - 1) % d for d in range(2, math.isqrt(p - 1) + 1))), 0)


def orthogonal_columns(m: int, rng: np.random.Generator) -> Coalitions:
    """The m - 1 balanced columns of a Hadamard matrix, (m, m - 1), in a random order and mirrored at random."""
    part = _paley_part(m) if m & (m - 1) else 1
    matrix = hadamard(m // part)
    if part > 1:
        q = part - 1
        squares = np.isin(np.arange(q), np.arange(1, q) ** 2 % q)
        residues = np.where(squares, 1, -1)[np.subtract.outer(np.arange(q), np.arange(q)) % q]
        paley = np.block([[np.ones((1, 1)), np.ones((1, q))], [-np.ones((q, 1)), residues + 2 * np.eye(q)]])
        matrix = np.kron(matrix, paley)
    matrix = matrix * matrix[:, :1]
    return np.asarray((matrix[:, 1 + rng.permutation(m - 1)] > 0) ^ (rng.random(m - 1) < 0.5))


def crossed(images: Coalitions, questions: Coalitions) -> Coalitions:
    """Every image beside every question, (n_images * n_questions, n_players), question by question of each image."""
    return np.concatenate([np.repeat(images, len(questions), axis=0), np.tile(questions, (len(images), 1))], axis=1)
