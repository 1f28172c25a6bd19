"""Synergistic faithfulness F_syn: how much of the joint effect of image and text an ordering finds early.

Write d(A, B) = v(A, B) - v(A, 0) - v(0, B) + v(0, 0) for the Harsanyi dividend of a set of image players A and a set
of text players B merged into two players. With everything outside {A, B} merged into a third player, their Shapley
interaction index weighs the two contexts "rest absent" and "rest present" by 1/2 each. The context "rest absent" is
d(A, B), the insertion side; "rest present" is v(I, T) - v(I - A, T) - v(I, T - B) + v(I - A, T - B), the deletion
side. So (ins_k + del_k) / 2 is that index at every k, exactly, as long as nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.games.attribution import Attribution
from toolkit.games.game import Game, check_game, corner_coalitions
from toolkit.synergy.ordering import check_attribution, curve_fractions, tie_breaks, top_coalitions
from toolkit.synergy.score import MetricSpec, Score, ask_and_read, in_unit, missing_reason, value_or_nan
from toolkit.synergy.srg import CurveScore, auc
from toolkit.typing import Coalitions, Values

PAPER = "Ky, Ghamizi and Cordy, Measuring Cross-Modal Synergy, arXiv 2605.22168"
NORMALISER_FLOOR = 0.05

F_SYN = MetricSpec(
    "f-syn", 1, (-2.0, 2.0), "probability", PAPER, "Signed synergistic faithfulness: the area under (ins + del) / 2."
)
F_SYN_PAPER = MetricSpec(
    "f-syn-paper", 1, (0.0, 1.0), "share", PAPER, "Published view: both sides normalised, then clipped to [0, 1].",
    needs_probability=True,
)  # fmt: skip
F_SYN_NORMALISED = MetricSpec(
    "f-syn-normalised", 1, (-40.0, 40.0), "share", PAPER, "Both sides normalised as in the paper, not clipped.",
    needs_probability=True,
)  # fmt: skip
F_SYN_INTERIOR = MetricSpec(
    "f-syn-interior", 1, (-2.0, 2.0), "probability", PAPER, "Mean of (ins + del) / 2 over k strictly inside (0, 1)."
)
TOTAL_INTERACTION = MetricSpec(
    "total-interaction",
    0,
    (-2.0, 2.0),
    "probability",
    PAPER,
    "Interaction of all of the image with all of the text; no explainer changes it.",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class SynergyScore(CurveScore):
    """Signed F_syn with its two sides; the other views are properties.

    Attributes:
        total: v(I, T) - v(I, 0) - v(B, T) + v(B, 0), the value of both sides at k = 1.
        contrast: v(I, T) - v(B, 0), which the published view divides by.
    """

    total: float
    contrast: float

    def _view(
        self, metric: MetricSpec, sides: NDArray[np.float64], value: float | None = None, inside: slice = slice(None)
    ) -> CurveScore:
        curve = sides.mean(axis=0)
        area = auc(curve, self.fractions) if value is None else value
        found = CurveScore(
            metric,
            value_or_nan(area, self.reason),
            self.fractions[inside],
            curve[inside],
            self.n_evaluations,
            self.reason,
            insertion=sides[0, inside],
            deletion=sides[1, inside],
        )
        return in_unit(found, "nats" if self.metric.unit == "nats" else "probability")

    @property
    def normalised(self) -> CurveScore:
        """Both sides divided by max(|v(I, T) - v(B, 0)|, 0.05); signed, not clipped."""
        sides = np.stack([self.insertion, self.deletion]) / max(abs(self.contrast), NORMALISER_FLOOR)
        return self._view(F_SYN_NORMALISED, sides)

    @property
    def paper(self) -> CurveScore:
        """The published formula: the normalised sides clipped to [0, 1] at every step, then their mean AUC.

        The authors' code differs from this formula on this game: it removes pixels (patches of Qwen2.5-VL) instead of
        cells, rounds half to even, blurs with radius 30, and on Qwen2.5-VL renumbers the positions after masking and
        reshapes the pixels wrongly. ``toolkit.audit.paper.authors_convention`` computes its numbers, and
        ``PUBLISHED_VIEW.md`` beside it shows what each difference does.

        Clipping before averaging hides redundancy and turns noise of mean zero into a positive score.
        """
        normalised = self.normalised
        sides = np.clip(np.stack([normalised.insertion, normalised.deletion]), 0.0, 1.0)
        return self._view(F_SYN_PAPER, sides)

    @property
    def interior(self) -> CurveScore:
        """Mean of the curve over k strictly between 0 and 1.

        At k = 0 every curve is 0 and at k = 1 it is the total interaction, whatever the explainer. The interior mean
        is F_syn without these shared points: (K F_syn - total / 2) / (K - 1).
        """
        sides = np.stack([self.insertion, self.deletion])
        if len(self.fractions) < 3 and self.reason is None:
            reason = f"a curve of {len(self.fractions) - 1} step has no k strictly between 0 and 1"
            empty = np.empty(0)
            return CurveScore(
                F_SYN_INTERIOR, float("nan"), empty, empty, self.n_evaluations, reason, insertion=empty, deletion=empty
            )
        return self._view(F_SYN_INTERIOR, sides, float(sides[:, 1:-1].mean()), slice(1, -1))


def synergy_coalitions(
    attribution: Attribution, steps: int = 10, *, tie_seeds: Sequence[int] | None = None
) -> Coalitions:
    """Coalitions of F_syn, shape (n_orders * 8 * (K + 1), n_players).

    Per order of tied players: (I_k, T_k), (I_k, 0), (B, T_k), (B, 0), then (I, T), (I - I_k, T), (I, T - T_k),
    (I - I_k, T - T_k).
    """
    fractions = curve_fractions(steps)
    parts = []
    for seed in tie_breaks(attribution, tie_seeds):
        image = top_coalitions(attribution, "image", fractions, tie_seed=seed)
        text = top_coalitions(attribution, "text", fractions, tie_seed=seed)
        none = np.zeros_like(image)
        parts += [image | text, image, text, none, ~none, ~image, ~text, ~(image | text)]
    return np.concatenate(parts)


def second_difference(both: Values, first: Values, second: Values, neither: Values) -> Values:
    """(both - first) - (second - neither); exactly 0 where one of the two sides changes nothing."""
    return (both - first) - (second - neither)


def read_synergy(values: Values, steps: int) -> SynergyScore:
    """Signed F_syn from the values of ``synergy_coalitions``."""
    fractions = curve_fractions(steps)
    asked = values.reshape(-1, 8, steps + 1)
    insertion = second_difference(asked[:, 0], asked[:, 1], asked[:, 2], asked[:, 3]).mean(axis=0)
    deletion = second_difference(asked[:, 4], asked[:, 5], asked[:, 6], asked[:, 7]).mean(axis=0)
    curve = (insertion + deletion) / 2
    reason = missing_reason(values)
    return SynergyScore(
        F_SYN, value_or_nan(auc(curve, fractions), reason), fractions, curve, reason=reason,
        insertion=insertion, deletion=deletion,
        total=float(insertion[-1]), contrast=float(asked[0, 4, 0] - asked[0, 3, 0]),
    )  # fmt: skip


def synergistic_faithfulness(
    game: Game, attribution: Attribution, steps: int = 10, *, tie_seeds: Sequence[int] | None = None
) -> SynergyScore:
    """Signed synergistic faithfulness F_syn, the area under (ins_k + del_k) / 2 for k = 0, 1/K, ..., 1.

    ins_k = v(I_k, T_k) - v(I_k, 0) - v(B, T_k) + v(B, 0)
    del_k = v(I - I_k, T - T_k) - v(I - I_k, T) - v(I, T - T_k) + v(I, T)

    ins_k is the Harsanyi dividend of {I_k, T_k}; (ins_k + del_k) / 2 is the pair's Shapley interaction index in the
    game {I_k, T_k, rest}. Positive for synergy, negative for redundancy; raw and signed. All coalitions are asked in
    one call; 6 K - 2 of them are distinct.

    Args:
        game: The game.
        attribution: The ordering to judge.
        steps: K.
        tie_seeds: Seeds of the permutations that order equal scores; the curves are their average. None takes as many
            as the ties need (``toolkit.synergy.ordering.tie_breaks``).

    Returns:
        The score, with both sides and the views ``.paper``, ``.normalised`` and ``.interior``. NaN with a reason if
        the game returned a value that is not finite.

    Raises:
        TypeError: Not an Attribution.
        ValueError: The attribution explains something else, or the steps or seeds are not valid.

    Reference: arXiv 2605.22168; Grabisch and Roubens, 1999.

    Example:
        >>> import numpy as np, toolkit
        >>> from toolkit.games.analytic import and_gate
        >>> game = and_gate(4, 2, image=[0], text=[1])
        >>> found = toolkit.Attribution(np.array([1.0, 0, 0, 0, 0, 1.0]), game.players, "mine", "yes")
        >>> round(toolkit.synergistic_faithfulness(game, found).value, 3)
        0.75
    """
    check_attribution(game, attribution)
    asked = synergy_coalitions(attribution, steps, tie_seeds=tie_seeds)
    return ask_and_read(game, asked, lambda values: read_synergy(values, steps), attribution.target)


def total_interaction(game: Game) -> Score:
    """Dividend of {image, text}: v(I, T) - v(I, 0) - v(B, T) + v(B, 0), in [-2, 2] for probabilities.

    +1 for an AND gate, -1 for OR, -2 for XOR, 0 for an additive game. The value of F_syn's curve at k = 1 for every
    explainer, so it tells samples apart, never explainers.

    Reference: arXiv 2605.22168; InterSHAP, arXiv 2412.15828.

    Example:
        >>> import toolkit
        >>> from toolkit.games.analytic import and_gate
        >>> toolkit.total_interaction(and_gate(4, 2)).value
        1.0
    """
    check_game(game)
    return ask_and_read(game, corner_coalitions(game.players), read_total)


def read_total(values: Values) -> Score:
    """Total interaction from the values of ``corner_coalitions``."""
    reason = missing_reason(values)
    total = second_difference(values[:1], values[1:2], values[2:3], values[3:])
    return Score(TOTAL_INTERACTION, value_or_nan(total[0], reason), np.ones(1), total, reason=reason)
