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

Reference: FIxLIP, arXiv 2508.05430; weighted Banzhaf interaction: Marichal and Mathonet, 2011,
doi 10.1016/j.dam.2010.11.008; orthogonal designs: Plackett and Burman, 1946, doi 10.1093/biomet/33.4.305.
Adapted for autoregressive VLMs: an image is encoded once for all its questions.
Cost: at most ``budget`` forward rows over far fewer images (42 players: 1,024 rows, 128 images); no gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        budget: Coalitions to evaluate at most; None takes two designs.
    """

    p: float = 0.5
    budget: int | None = None

    name: ClassVar[str] = "banzhaf-interaction"
    reference: ClassVar[str] = "FIxLIP 2025, arXiv 2508.05430"
    cost: ClassVar[str] = "two designs, 4 n_image n_text to 16 n_image n_text rows (42 players: 1,024 of 128 images)"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})

    def __post_init__(self) -> None:
        if not 0 < self.p < 1:
            raise ValueError(f"banzhaf-interaction: p is {self.p}; expected a probability between 0 and 1, 0.5 for one")

    def design(self, n_image: int, n_text: int) -> tuple[int, int, int]:
        """Images and questions of a design, and the number of designs.

        Raises:
            ValueError: The budget does not hold two designs.
        """
        images, questions = (1 << n.bit_length() for n in (n_image, n_text))  # powers of two above them
        designs = 2 if self.budget is None else self.budget // (images * questions)
        if designs < 2:
            raise ValueError(
                f"banzhaf-interaction: a budget of {self.budget} is too small for {n_image} cells and {n_text} words; "
                f"two designs need {2 * images * questions}, fewer players (players='grid:4x4') less"
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
        drawn = [
            (presence(n_image, n_images, self.p, rng), presence(n_text, n_questions, self.p, rng))
            for _ in range(n_designs)
        ]
        values = game(np.concatenate([crossed(images, questions) for images, questions in drawn]))
        tables = values.reshape(n_designs, n_images, n_questions)
        found = np.stack(
            [
                self._weights(images) @ table @ self._weights(questions).T
                for (images, questions), table in zip(drawn, tables, strict=True)
            ]
        )
        error = float(np.sqrt((found.var(axis=0, ddof=1) / n_designs).mean()))
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


def crossed(images: Coalitions, questions: Coalitions) -> Coalitions:
    """Every image beside every question, (n_images * n_questions, n_players), question by question of each image."""
    return np.concatenate([np.repeat(images, len(questions), axis=0), np.tile(questions, (len(images), 1))], axis=1)
