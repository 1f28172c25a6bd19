"""FLAWS ON PURPOSE. Nothing in this module is right: each flaw of a published pipeline, switched on by name.

It exists to show what each flaw does to scores and rankings. No other module may import it, except to make that table.
Two kinds: flaws that change what is measured (scored here with the flaw switched on), and flaws of statistics or
bookkeeping, which change no score and are described by the number that they distort.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from toolkit.baselines import BASELINES
from toolkit.benchmark.correlation import kendall_tau
from toolkit.datasets.sample import Sample
from toolkit.explainers.attribution import Attribution
from toolkit.games import CachedGame, Game, Players
from toolkit.registry import Registry
from toolkit.synergy.faithfulness import synergistic_faithfulness
from toolkit.synergy.metrics import DEFAULT_METRICS
from toolkit.synergy.plan import plan_metrics
from toolkit.typing import Coalitions, Values
from toolkit.validity.study import controls_of, explain_all
from toolkit.vlm.protocol import VLM

STEPS = 10
TOKEN_METHODS = ("attn-lrp", "rollout", "grad-rollout", "grad-cam", "tam")
"""Methods whose maps come out in the order of the image tokens, and are misplaced if that is taken for raster order."""


@dataclass(frozen=True)
class Case:
    """One sample with everything that a flaw may spoil."""

    vlm: VLM
    sample: Sample
    attributions: tuple[Attribution, ...]
    game: CachedGame


@dataclass(frozen=True)
class Flaw:
    """A flaw that changes what is measured.

    Attributes:
        number: Its number in the list of flaws.
        what: What goes wrong.
        score: Scores of a case's attributions with the flaw switched on.
    """

    number: int
    what: str
    score: Callable[[Case], list[float]]


FLAWS: Registry[Flaw] = Registry("flaw")

BOOKKEEPING: dict[int, tuple[str, str]] = {
    5: ("rho pooled over samples, shared end point included", "see the surrogate table: pooled against within samples"),
    6: ("tau without its exact p-value and interval", "see the collapse table: most taus cannot be told from 0"),
    11: ("questions on one picture treated as independent", "no effect here: every picture has one question"),
    12: ("every cell computed again for every curve", "same numbers at a higher cost"),
    13: ("corner values computed and thrown away", "same numbers; the redundancy report cannot be made"),
}
"""Flaws of statistics and bookkeeping: no score changes."""


def correct(case: Case) -> list[float]:
    """Signed F_syn, without any flaw."""
    return [synergistic_faithfulness(case.game, attribution, STEPS).value for attribution in case.attributions]


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
    by_name = {a.method: a for a in case.attributions}
    spoiled = []
    for attribution in case.attributions:
        if attribution.method == "llava-cam" and "grad-cam" in by_name:
            spoiled.append(replace(by_name["grad-cam"], method="llava-cam"))
        elif attribution.method == "random":
            fixed = np.random.default_rng(0).standard_normal(attribution.players.n)
            spoiled.append(replace(attribution, scores=fixed))
        else:
            spoiled.append(attribution)
    return _again(case.game, spoiled)


def merge_block_order(n_image: int) -> NDArray[np.int64]:
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
    order = merge_block_order(n_image)
    spoiled = []
    for attribution in case.attributions:
        scores = attribution.scores.copy()
        if attribution.method in TOKEN_METHODS:
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


_Spoil: TypeAlias = Callable[[Case], list[float]]
_ALL: tuple[tuple[str, int, str, _Spoil], ...] = (
    ("reshape", 1, "mask reshaped instead of transposed: a cell is a strip of pixels",
     lambda case: _again(SlicedGame(case), case.attributions)),
    ("sensitive-token", 2, "the token most sensitive to the baseline is scored",
     lambda case: _retarget(case, _sensitive_target(case))),
    ("other-token", 3, "the scored token is not the explained one", lambda case: _retarget(case, _second_target(case))),
    ("clip", 4, "normalised and clipped to [0, 1] at every step", _clip),
    ("raster-ties", 7, "ties broken by the index of the player", _raster_ties),
    ("repeats", 8, "one method twice, one seed for all samples", _repeats),
    ("merge-order", 9, "token order taken for raster order", _merge_order),
    ("bf16", 10, "bfloat16 values over a floor of 0.05", _rounded),
)  # fmt: skip
for _name, _number, _what, _score in _ALL:
    FLAWS.add(_name, Flaw(_number, _what, _score))


def cases_of(vlm: VLM, samples: Sequence[Sample], explainers: Sequence[str]) -> list[Case]:
    """Samples with the attributions of the ranked methods, then oracle and anti-oracle; complete ones only."""
    cases = []
    for number, sample in enumerate(samples):
        attributions, failed = explain_all(vlm, sample, explainers, seed=number)
        if not failed:
            attributions += controls_of(vlm, sample, ("oracle", "anti-oracle"), seed=number)
            cases.append(Case(vlm, sample, tuple(attributions), CachedGame(vlm.game(sample))))
    return cases


def kendall_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> int:
    """Pairs that the second ranking does not order as the first one does; a tie in the second counts as one."""
    pairs = itertools.combinations(range(len(first)), 2)
    return sum(np.sign(first[i] - first[j]) != np.sign(second[i] - second[j]) for i, j in pairs)


def ablate(
    vlm: VLM, samples: Sequence[Sample], explainers: Sequence[str], *, flaws: Sequence[str] | None = None
) -> pd.DataFrame:
    """What each flaw does to signed F_syn: scores, controls, and the ranking of the explainers.

    Columns: mean absolute change of a sample's score, Kendall distance and tau to the correct ranking, oracle minus
    anti-oracle.

    Raises:
        UnknownNameError: No flaw has this name.
        ValueError: No sample that all explainers can explain.
    """
    cases = cases_of(vlm, samples, explainers)
    if not cases:
        raise ValueError("no sample could be explained by every method; the ablation needs at least one")
    methods = [a.method for a in cases[0].attributions]
    right = np.array([correct(case) for case in cases])
    rows = [_row("none", 0, "nothing is wrong", right, right, methods)]
    for name in FLAWS if flaws is None else flaws:
        flaw = FLAWS[name]
        wrong = np.array([flaw.score(case) for case in cases])
        rows.append(_row(name, flaw.number, flaw.what, right, wrong, methods))
    if flaws is None:
        rows.append(_row("complete-cases", 14, "a method's failures vanish: its worst quarter of samples",
                         right, _vanish(right, methods), methods))  # fmt: skip
        rows += [_bookkeeping(number, cases[0]) for number in BOOKKEEPING]
    return pd.DataFrame(rows).sort_values("number", kind="stable").set_index("flaw")


def _vanish(right: NDArray[np.float64], methods: Sequence[str]) -> NDArray[np.float64]:
    """The last of the ranked methods fails on its worst quarter of samples, which are left out of its mean."""
    wrong = right.copy()
    ranked = [i for i, m in enumerate(methods) if m not in ("oracle", "anti-oracle")]
    last = min(ranked, key=lambda i: right[:, i].mean())
    worst = np.argsort(right[:, last])[: len(right) // 4]
    wrong[worst, last] = np.nan
    return wrong


def _row(
    name: str, number: int, what: str, right: NDArray[np.float64], wrong: NDArray[np.float64], methods: Sequence[str]
) -> dict[str, Any]:
    ranked = [i for i, method in enumerate(methods) if method not in ("oracle", "anti-oracle")]
    means, correct_means = np.nanmean(wrong, axis=0), right.mean(axis=0)
    oracle, anti = (float(means[methods.index(kind)]) for kind in ("oracle", "anti-oracle"))
    return {
        "flaw": name, "number": number, "what": what, "mean change": float(np.nanmean(np.abs(wrong - right))),
        "Kendall distance": kendall_distance(correct_means[ranked], means[ranked]),
        "pairs": len(ranked) * (len(ranked) - 1) // 2,
        "tau": kendall_tau(correct_means[ranked], means[ranked]).tau,
        "oracle - anti-oracle": oracle - anti, "n": len(right), "note": "",
    }  # fmt: skip


def _bookkeeping(number: int, case: Case) -> dict[str, Any]:
    what, note = BOOKKEEPING[number]
    if number == 12:
        plan = plan_metrics(list(case.attributions), DEFAULT_METRICS, STEPS)
        note += f": {plan.n_requested} cells asked, {plan.n_cells} distinct, over {plan.n_images} distinct images"
    names = {5: "pooled-rho", 6: "bare-tau", 11: "unclustered", 12: "no-cache", 13: "no-corners"}
    return {"flaw": names[number], "number": number, "what": what, "note": note, "n": 0}
