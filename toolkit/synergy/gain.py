"""Synergy gain: F_syn beyond what random orderings of the same sample would have found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.games.attribution import Attribution
from toolkit.games.game import Game
from toolkit.synergy.f_syn import PAPER, read_synergy, synergy_coalitions
from toolkit.synergy.interaction_sign import N_SIGN, InteractionSign, read_sign, sign_coalitions
from toolkit.synergy.ordering import check_attribution, reference_orderings
from toolkit.synergy.score import MetricSpec, ask_and_read, in_unit, missing_reason, value_or_nan
from toolkit.synergy.srg import CurveScore
from toolkit.typing import Coalitions, Values

F_SYN_GAIN = MetricSpec(
    "f-syn-gain",
    1,
    (-4.0, 4.0),
    "probability",
    f"Signed F_syn after {PAPER}; difference to random orderings: this toolkit",
    "Interior F_syn, tie-averaged, minus its mean over random orderings of the same sample.",
)
F_SYN_RECOVERED = MetricSpec(
    "f-syn-recovered",
    1,
    (-4.0, 4.0),
    "probability",
    F_SYN_GAIN.reference,
    "F_syn gain times the sign of the sample's interaction: also credits finding redundancy early.",
)
F_SYN_SHARE = MetricSpec(
    "f-syn-share",
    1,
    (-80.0, 80.0),
    "share",
    F_SYN_GAIN.reference,
    "F_syn gain as a share of the total interaction; not scored where there is next to none.",
    needs_probability=True,
)
N_RANDOM = 8
SMALLEST_TOTAL = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class GainScore(CurveScore):
    """F_syn gain with the random level that was subtracted.

    Attributes:
        random: Mean interior F_syn of the random orderings.
        standard_error: Of ``random``, and so of the gain, over the draws of random orderings; not over samples.
        n_random: Number of random orderings.
        interaction: Whether the sample's interaction is synergy or redundancy; the same for every ordering.
    """

    random: float
    standard_error: float
    n_random: int
    interaction: InteractionSign

    def _scaled(self, metric: MetricSpec, factor: float, reason: str | None) -> CurveScore:
        reason = self.reason or reason
        found = CurveScore(
            metric,
            value_or_nan(self.value * factor, reason),
            self.fractions,
            self.curve * factor,
            self.n_evaluations,
            reason,
            insertion=self.insertion * factor,
            deletion=self.deletion * factor,
        )
        return in_unit(found, "nats" if self.metric.unit == "nats" else "probability")

    @property
    def recovered(self) -> CurveScore:
        """The gain times the sign of the sample's interaction; not scored where that has no sign.

        On a redundant sample the right evidence makes F_syn fall early, so the signed score, read as "larger is
        better", puts the oracle last and the anti-oracle first, and a mean over synergistic and redundant samples
        orders nothing. Times the sign, the oracle leads on both. The sign and the gain have no noise in common (see
        ``synergy_gain``), so noise alone still scores zero on average.
        """
        return self._scaled(F_SYN_RECOVERED, self.interaction.sign, self.interaction.reason)

    @property
    def share(self) -> CurveScore:
        """The gain divided by the total interaction; not scored where that is below 0.05 in size."""
        total = self.interaction.total
        if abs(total) < SMALLEST_TOTAL:
            small = f"the total interaction {total:.3g} is below {SMALLEST_TOTAL} in size; a share means nothing"
            return self._scaled(F_SYN_SHARE, float("nan"), small)
        return self._scaled(F_SYN_SHARE, 1 / total, None)


def gain_coalitions(
    attribution: Attribution,
    steps: int = 10,
    *,
    n_random: int = N_RANDOM,
    seed: int = 0,
    tie_seeds: Sequence[int] | None = None,
) -> Coalitions:
    """Coalitions of the gain: the attribution's F_syn, then each random ordering's, then those of the sign."""
    if steps < 2:
        raise ValueError(f"the gain lives on 0 < k < 1 and needs at least 2 steps, got {steps}")
    if n_random < 4:
        raise ValueError(f"a standard error needs at least 2 pairs of random orderings, got n_random = {n_random}")
    draws = reference_orderings(attribution.players, n_random, seed)
    own = synergy_coalitions(attribution, steps, tie_seeds=tie_seeds)
    sign = sign_coalitions(attribution.players, seed=seed)
    return np.concatenate([own, *(synergy_coalitions(draw, steps) for draw in draws), sign])


def synergy_gain(
    game: Game,
    attribution: Attribution,
    steps: int = 10,
    *,
    n_random: int = N_RANDOM,
    seed: int = 0,
    tie_seeds: Sequence[int] | None = None,
) -> GainScore:
    """Gain g = mean over interior k of s_k(attribution) - mean over R random orderings of the same.

    s_k = (ins_k + del_k) / 2 is the curve of signed F_syn, and the interior is 0 < k < 1. Why each part is there:

    * The end points are left out because s_0 = 0 and s_1 = total interaction for every ordering: they say which
      sample is synergistic, and compress the differences between explainers.
    * Half of all orderings reach the evidence by k = 1/2, so a random ordering of a synergistic sample earns a
      positive F_syn. Subtracting the sample's own random mean puts an uninformative explainer at 0 on every sample.
    * If v is noise alone (independent, mean zero, per coalition), so is the gain: the only coalitions that all
      orderings share, v(I, T) and v(B, 0), enter every interior s_k with weight 1/2 and cancel in the difference.
      Nothing is clipped, so the mean stays zero.
    * A binary map has many orderings; their average replaces the arbitrary one that the player index would pick.

    The gain is positive if synergy is found earlier than at random. On a redundant sample (total interaction < 0)
    finding the evidence early makes it negative; the view ``.recovered`` turns it by the sign of the interaction, and
    ``.share`` divides by the total. Like every pairwise index it cannot tell a genuine two-way synergy from the
    two-way shadow of a higher-order effect.

    Args:
        game: The game.
        attribution: The ordering to judge.
        steps: K, at least 2.
        n_random: R, even and at least 4: random orderings come in pairs of an ordering and its reverse, and the
            standard error is that of the mean over pairs. They depend on the seed and the players' labels only: several
            attributions of one sample share their cost, and another question draws others.
        seed: Seed of the random orderings.
        tie_seeds: Seeds of the permutations that order equal scores; None takes as many as the ties need.

    Raises:
        TypeError: Not an Attribution.
        ValueError: The attribution explains something else, fewer than 2 steps, or n_random odd or below 4.

    Reference: arXiv 2605.22168 for F_syn; limits of signed pairwise scores: arXiv 2606.19410.
    """
    check_attribution(game, attribution)
    asked = gain_coalitions(attribution, steps, n_random=n_random, seed=seed, tie_seeds=tie_seeds)
    return ask_and_read(game, asked, lambda values: read_gain(values, steps, n_random=n_random), attribution.target)


def read_gain(values: Values, steps: int, *, n_random: int = N_RANDOM) -> GainScore:
    """The gain from the values of ``gain_coalitions``; the random orderings come in antithetic pairs."""
    asked = values[: -4 * N_SIGN].reshape(-1, 8 * (steps + 1))
    whole = read_synergy(asked[:-n_random].ravel(), steps)
    own, draws = whole.interior, [read_synergy(draw, steps).interior for draw in asked[-n_random:]]
    pairs = np.array([draw.value for draw in draws]).reshape(-1, 2).mean(axis=1)
    insertion = own.insertion - np.mean([draw.insertion for draw in draws], axis=0)
    deletion = own.deletion - np.mean([draw.deletion for draw in draws], axis=0)
    reason = missing_reason(values) or own.reason
    return GainScore(
        F_SYN_GAIN, value_or_nan(own.value - float(pairs.mean()), reason), own.fractions, (insertion + deletion) / 2,
        reason=reason, insertion=insertion, deletion=deletion,
        random=float(pairs.mean()), standard_error=float(pairs.std(ddof=1) / np.sqrt(len(pairs))),
        n_random=n_random, interaction=read_sign(values[-4 * N_SIGN :], whole.total),
    )  # fmt: skip
