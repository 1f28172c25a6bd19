"""Mixtures of two twins: models between grounded and biased, without training.

With probability s the answer comes from the biased twin and with 1 - s from the grounded one, so every value is

    v_s(S) = (1 - s) v_grounded(S) + s v_biased(S).

Nothing is interpolated in weight space; at both ends the mixture *is* the twin. v_s is linear in s, and so are the
corners, the dividend, signed F_syn and SRG of a fixed map and a fixed answer; what may bend are the model's own
answers, the gates, the clipped score and the rankings. A mixture has no gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from toolkit.datasets.sample import Sample
from toolkit.games.game import CachedGame, Players
from toolkit.typing import Coalitions, Regions, Values
from toolkit.vlm.protocol import VLM, Answer, WhiteBox

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def check_twins(grounded: VLM, biased: VLM) -> None:
    """Refuse models that cannot be twins.

    Raises:
        ValueError: They are of two families.
    """
    if grounded.family != biased.family:
        raise ValueError(
            f"{grounded.name!r} ({grounded.family}) and {biased.name!r} ({biased.family}) are no twins; "
            "take two models of one family"
        )


class TwinGames:
    """Games of both twins, each coalition asked once for all strengths.

    Raises:
        ValueError: The models are of two families, so they are no twins.
    """

    def __init__(self, grounded: VLM, biased: VLM) -> None:
        check_twins(grounded, biased)
        self._vlms = (grounded, biased)
        self._found: dict[tuple[str, str, str], tuple[CachedGame, CachedGame]] = {}

    def of(self, sample: Sample, target: str, baseline: str) -> tuple[CachedGame, CachedGame]:
        """The grounded and the biased twin's game of one answer.

        Raises:
            ValueError: The models cut the sample into different players, so they are no twins.
        """
        key = (f"{sample.dataset}/{sample.id}", target, baseline)
        if key not in self._found:
            first, second = (CachedGame(vlm.game(sample, target=target, baseline=baseline)) for vlm in self._vlms)
            if first.players != second.players:
                names = " and ".join(repr(vlm.name) for vlm in self._vlms)
                raise ValueError(f"{names} are no twins: they cut {sample.id!r} into different players")
            self._found[key] = (first, second)
        return self._found[key]


class MixedGame:
    """The mixture of two games of the same sample and the same target."""

    def __init__(
        self, games: tuple[CachedGame, CachedGame], strength: float, sample: Sample, target: str, baseline: str
    ) -> None:
        self._first, self._second = games
        self._strength = strength
        self.sample, self.target, self.baseline = sample, target, baseline

    @property
    def players(self) -> Players:
        """The players of both games."""
        return self._first.players

    @property
    def n_evaluations(self) -> int:
        """Distinct coalitions evaluated so far, over both models and all strengths that share them."""
        return self._first.n_evaluations + self._second.n_evaluations

    def __call__(self, coalitions: Coalitions) -> Values:
        """Mixed values (n_coalitions,); a twin without weight is not asked."""
        values = np.zeros(len(coalitions))
        for game, weight in ((self._first, 1 - self._strength), (self._second, self._strength)):
            if weight > 0:
                values += weight * game(coalitions)
        return values


class MixedVLM:
    """A model that answers like the biased twin with probability ``strength``, and else like the grounded one.

    Args:
        grounded: One twin.
        biased: The other one.
        strength: In [0, 1].
        games: The twins' games; mixed_twins that share them ask every coalition once.

    Raises:
        ValueError: The strength lies outside [0, 1], or the models are no twins.
    """

    def __init__(self, grounded: VLM, biased: VLM, strength: float, games: TwinGames | None = None) -> None:
        if not 0 <= strength <= 1:
            raise ValueError(f"the strength of a mixture must lie in [0, 1], got {strength}")
        self.grounded, self.biased, self.strength = grounded, biased, strength
        self._games = TwinGames(grounded, biased) if games is None else games
        self.name = f"{grounded.name} + {strength:g} bias"
        self.family = "mixture"
        self.revision: str | None = None

    def answer(self, sample: Sample) -> Answer:
        """The most probable choice of the mixture.

        Raises:
            ValueError: The sample has no choices.
        """
        if sample.choices is None:
            raise ValueError(f"sample {sample.id!r} has no choices; only distributions over choices can be blended")
        first, second = self.grounded.answer(sample), self.biased.answer(sample)
        by_choice = {
            choice: (1 - self.strength) * first.by_choice[choice] + self.strength * second.by_choice[choice]
            for choice in sample.choices
        }
        text = max(by_choice, key=lambda choice: by_choice[choice])
        ids = self.grounded.game(sample, target=text)
        return Answer(text, by_choice[text], tuple(getattr(ids, "token_ids", ())), by_choice)

    def players(self, sample: Sample) -> Players:
        """The players, equal for both twins."""
        return self.grounded.players(sample)

    def regions(self, sample: Sample) -> Regions:
        """Where the image players lie."""
        return self.grounded.regions(sample)

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        """Character spans of the text players."""
        return self.grounded.text_spans(sample)

    def game(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> MixedGame:
        """The mixed game."""
        target = self.answer(sample).text if target is None else target
        return MixedGame(self._games.of(sample, target, baseline), self.strength, sample, target, baseline)

    def white_box(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> WhiteBox:
        """A mixture has no gradients.

        Raises:
            TypeError: Always; ask one of the twins.
        """
        raise TypeError(
            "a mixture of two models has no differentiable inside; explain it with forward passes, or a twin"
        )

    def masked_image(self, sample: Sample, coalition: Coalitions, *, baseline: str = "blur") -> Image.Image:
        """The masked picture."""
        return self.grounded.masked_image(sample, coalition, baseline=baseline)


def mixed_twins(grounded: VLM, biased: VLM, strengths: Sequence[float] = STRENGTHS) -> dict[float, VLM]:
    """Mixtures of two twins by strength, which share what the twins are asked."""
    games = TwinGames(grounded, biased)
    return {strength: MixedVLM(grounded, biased, strength, games) for strength in strengths}
