"""FLAWS ON PURPOSE: those that change the scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.audit.paper.flaws.case import FLAWS, GAP, STEPS, Case, Flaw, Floats, Spoiled, gap
from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.sample import Sample
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame, Game, Players
from toolkit.synergy.f_syn import synergistic_faithfulness
from toolkit.typing import Coalitions, Values

TOKEN_EXPLAINERS = ("attn-lrp", "rollout", "grad-rollout", "grad-cam", "tam")
"""Explainers whose maps have the order of the image tokens, and are misplaced where that is taken for raster order."""


def _again(game: Game, attributions: Sequence[Attribution], target: str | None = None) -> list[float]:
    """F_syn on a spoiled game; the check that explained and scored answer agree is got round on purpose."""
    cached = CachedGame(game)
    kept = [a if target is None else replace(a, target=target) for a in attributions]
    return [synergistic_faithfulness(cached, attribution, STEPS).value for attribution in kept]


class SlicedGame:
    """The game of a mask that is reshaped where it should be transposed: a "cell" is a strip of pixel rows."""

    def __init__(self, case: Case, baseline: str = "blur") -> None:
        self.players: Players = case.game.players
        self._vlm, self._sample, self._target = case.vlm, case.sample, case.attributions[0].target
        self._picture = np.asarray(case.sample.image.convert("RGB"))
        self._removed = np.asarray(BASELINES[baseline](case.sample.image.convert("RGB")))

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values (n_coalitions,), each distinct spoiled picture drawn and asked once."""
        n_image = self.players.n_image
        masks, index = np.unique(coalitions[:, :n_image], axis=0, return_inverse=True)
        values = np.empty(len(coalitions))
        for number, mask in enumerate(masks):
            rows = np.flatnonzero(index.reshape(-1) == number)
            whole = coalitions[rows].copy()
            whole[:, :n_image] = True
            values[rows] = self._vlm.game(self._spoil(mask), target=self._target)(whole)
        return values

    def _spoil(self, mask: NDArray[np.bool_]) -> Sample:
        height, width, _ = self._picture.shape
        owner = np.arange(height * width) * len(mask) // (height * width)
        shown = mask[owner].reshape(height, width, 1)
        return replace(self._sample, image=Image.fromarray(np.where(shown, self._picture, self._removed)))


def _sensitive_target(case: Case) -> str:
    """The choice whose probability moves most between everything and nothing."""
    everything = np.stack([np.ones(case.game.players.n, dtype=np.bool_), np.zeros(case.game.players.n, dtype=np.bool_)])
    own = case.attributions[0].target
    moves = {
        choice: float(abs(np.subtract(*case.vlm.game(case.sample, target=choice)(everything))))
        for choice in case.sample.choices or (own,)
    }
    return max(moves, key=lambda choice: moves[choice])


def _second_target(case: Case) -> str:
    """The second most probable choice."""
    by_choice = case.vlm.answer(case.sample).by_choice
    order = sorted(by_choice, key=lambda choice: -by_choice[choice])
    return order[1] if len(order) > 1 else case.attributions[0].target


def _retarget(case: Case, target: str) -> list[float]:
    return _again(case.vlm.game(case.sample, target=target), case.attributions, target)


def _clip(case: Case) -> list[float]:
    return [synergistic_faithfulness(case.game, a, STEPS).paper.value for a in case.attributions]


def _raster_ties(case: Case) -> list[float]:
    """Equal scores in the order of the players: the first cell of the grid wins."""
    spoiled = []
    for attribution in case.attributions:
        order = np.argsort(np.argsort(-attribution.scores, kind="stable"), kind="stable")
        spoiled.append(replace(attribution, scores=-order.astype(np.float64)))
    return _again(case.game, spoiled)


def _repeats(case: Case) -> list[float]:
    """LLaVA-CAM is Grad-CAM once more, and Random is one fixed order for all samples."""
    by_name = {a.explainer: a for a in case.attributions}
    spoiled = []
    for attribution in case.attributions:
        if attribution.explainer == "llava-cam" and "grad-cam" in by_name:
            spoiled.append(replace(by_name["grad-cam"], explainer="llava-cam"))
        elif attribution.explainer == "random":
            fixed = np.random.default_rng(0).standard_normal(attribution.players.n)
            spoiled.append(replace(attribution, scores=fixed))
        else:
            spoiled.append(attribution)
    return _again(case.game, spoiled)


def merge_order(n_image: int) -> NDArray[np.int64]:
    """Raster index of each image token when tokens come in 2 x 2 blocks of a square grid, shape (n_image,)."""
    side = round(n_image**0.5)
    grid = np.arange(side * side).reshape(side // 2, 2, side // 2, 2)
    return grid.transpose(0, 2, 1, 3).reshape(-1)


def _merge_order(case: Case) -> list[float]:
    """Maps in merge-block order read as if they were in raster order."""
    n_image = case.game.players.n_image
    side = round(n_image**0.5)
    if side * side != n_image or side % 2:
        return [float("nan")] * len(case.attributions)
    order = merge_order(n_image)
    spoiled = []
    for attribution in case.attributions:
        scores = attribution.scores.copy()
        if attribution.explainer in TOKEN_EXPLAINERS:
            scores[:n_image] = scores[:n_image][order]
        spoiled.append(replace(attribution, scores=scores))
    return _again(case.game, spoiled)


class RoundedGame:
    """Every value rounded to the 8 significant bits of bfloat16."""

    def __init__(self, game: Game) -> None:
        self.game, self.players = game, game.players

    def __call__(self, coalitions: Coalitions) -> Values:
        """Rounded values (n_coalitions,)."""
        fraction, exponent = np.frexp(self.game(coalitions))
        return np.ldexp(np.round(fraction * 256) / 256, exponent)


def _rounded(case: Case) -> list[float]:
    """Rounded values, divided by a contrast that may be as small as 0.05."""
    cached = CachedGame(RoundedGame(case.game))
    return [synergistic_faithfulness(cached, a, STEPS).normalised.value for a in case.attributions]


def _by_case(score: Callable[[Case], list[float]]) -> Callable[[Sequence[Case], Floats], Spoiled]:
    """A flaw that spoils one case at a time."""

    def spoil(cases: Sequence[Case], right: Floats) -> Spoiled:
        wrong = np.array([score(case) for case in cases])
        return Spoiled(wrong, GAP, gap(cases[0], right), gap(cases[0], wrong))

    return spoil


for _name, _number, _what, _score in (
    ("reshape", 1, "mask reshaped instead of transposed: a cell is a strip of pixels",
     lambda case: _again(SlicedGame(case), case.attributions)),
    ("sensitive-token", 2, "the token most sensitive to the baseline is scored",
     lambda case: _retarget(case, _sensitive_target(case))),
    ("other-token", 3, "the scored token is not the explained one", lambda case: _retarget(case, _second_target(case))),
    ("clip", 4, "normalised and clipped to [0, 1] at every step", _clip),
    ("raster-ties", 7, "ties broken by the index of the player", _raster_ties),
    ("repeats", 8, "one explainer twice, one seed for all samples", _repeats),
    ("merge-order", 9, "token order taken for raster order", _merge_order),
    ("bf16", 10, "bfloat16 values over a floor of 0.05", _rounded),
):  # fmt: skip
    FLAWS.add(_name, Flaw(_number, _what, _by_case(_score)))
