"""The rules of the validity panel: what is computed, what passes, and why. Data, fixed before any metric is run.

A rule never knows which metric it judges. Bounds are not adjusted to results. A rule decides where the whole interval
lies on one side of its bound: where the bound lies inside the interval, or Holm's correction over all rules of a metric
takes the decision away, the verdict is *undecided*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scipy import stats

Comparison: TypeAlias = Literal["value > bound", "value >= bound", "value <= bound", "|value| <= bound"]
Verdict: TypeAlias = Literal["pass", "fail", "undecided"]

LEVEL = 0.05
"""Of a verdict, after Holm's correction over the rules of a metric."""


def _p_across(value: float, end: float, bound: float) -> float:
    """Two-sided p-value of a number whose 95 % interval ends at ``end`` on the side of the bound."""
    width = abs(value - end)
    if width == 0:
        return float(value == bound)
    return float(2 * stats.norm.sf(abs(value - bound) / width * stats.norm.ppf(0.975)))


@dataclass(frozen=True)
class Rule:
    """One check of the panel.

    Attributes:
        check: Name.
        title: What a reader sees.
        statistic: What the number is.
        comparison: How the number is compared.
        bound: With what.
        why: What a failure would mean.
        needs: ``"games"`` for checks on games known by construction, ``"models"`` for checks on models.
        n_min: Fewer samples than this give a number but no verdict.
        guard: Every metric of the panel before this one passed it: it guards the code and tells no metric from another.
    """

    check: str
    title: str
    statistic: str
    comparison: Comparison
    bound: float
    why: str
    needs: Literal["games", "models"]
    n_min: int = 1
    guard: bool = False

    def met(self, value: float) -> bool:
        """Whether a number without an interval keeps the rule."""
        if self.comparison == "|value| <= bound":
            return abs(value) <= self.bound
        if self.comparison == "value <= bound":
            return value <= self.bound
        return value > self.bound if self.comparison == "value > bound" else value >= self.bound

    def p_value(self, value: float, low: float, high: float) -> float:
        """How easily the true value could lie on the other side of the bound, in [0, 1]; 0 for an exact number."""
        if low == value == high:
            return 0.0
        bounds = (-self.bound, self.bound) if self.comparison == "|value| <= bound" else (self.bound,)
        if not all(math.isfinite(end) for end in (low, high)) or any(low < bound < high for bound in bounds):
            return 1.0
        return max(_p_across(value, low if value > bound else high, bound) for bound in bounds)

    def judge(self, value: float, p: float) -> Verdict:
        """The verdict of a number, by its p-value after correction."""
        if p >= LEVEL:
            return "undecided"
        return "pass" if self.met(value) else "fail"


_GAP = "smaller of the gaps oracle - random and random - anti-oracle"
_KENDALL = "smallest Kendall tau between the rankings of nine explainers"
_TIED = "over 8 orders of what is tied, as a share of the size of oracle - random"

RULES: tuple[Rule, ...] = (
    Rule("gate AND", "Orders the controls on an AND gate", _GAP, "value > bound", 0.0,
         "the metric misses pure synergy", "games", guard=True),
    Rule("gate OR", "Orders the controls on an OR gate", _GAP, "value > bound", 0.0,
         "the metric punishes faithful explainers where the modalities are redundant", "games"),
    Rule("gate XOR", "Orders the controls on a XOR gate", _GAP, "value > bound", 0.0,
         "the metric punishes faithful explainers where each modality undoes the other", "games"),
    Rule("gate additive", "Is zero where nothing is joint",
         "largest absolute mean score of oracle, random and anti-oracle on an additive game", "|value| <= bound", 1e-9,
         "the metric counts what one modality does alone as joint", "games"),
    Rule("redundancy visible", "Tells redundancy from nothing",
         "absolute score of the oracle on an OR gate, where a game of constant value scores 0", "value >= bound", 0.05,
         "a redundant sample looks like one without any effect", "games"),
    Rule("noise alone", "Noise scores zero", "mean over noise games, as a share of oracle - random on an AND gate",
         "|value| <= bound", 0.2, "the metric turns noise of mean zero into a score", "games"),
    Rule("half right, games", "Half-right maps keep nothing of a joint effect",
         "share of oracle - anti-oracle that right words with wrong cells, and right cells with wrong words, keep on "
         "an AND gate, less what F_syn's steps leave them", "value <= bound", 0.05,
         "the metric pays for one modality without the other", "games"),
    Rule("ties", "Does not depend on the order of the players",
         "rms change of a binary map's score when the players are renamed, as a share of oracle - random",
         "value <= bound", 0.1, "maps with equal scores are judged by the raster order of their cells", "games"),
    Rule("untuned games", "Orders the controls on games that nobody tuned on", _GAP, "value > bound", 0.0,
         "the metric was made for the pure gates", "games"),
    Rule("parity of three", "A small total interaction does not turn the score",
         "change of the oracle's score on a three-way XOR when +.01 of synergy becomes -.01; 0 where both are unscored",
         "|value| <= bound", 0.1, "the sign of the score is that of a rounding error", "games"),
    Rule("controls", "Oracle > Random > Anti-oracle on a grounded model", _GAP, "value > bound", 0.0,
         "the metric does not find known evidence on a model that uses it", "models", n_min=60, guard=True),
    Rule("redundant controls", "The same on redundant samples of everyday objects", _GAP, "value > bound", 0.0,
         "the metric punishes faithful explainers where the modalities are redundant", "models", n_min=15),
    Rule("scored", "Scores most samples", "share of the samples that get a score", "value >= bound", 0.8,
         "the metric judges by leaving out", "models", n_min=60),
    Rule("half right, models", "Half-right maps keep nothing on a grounded model",
         "share of oracle - anti-oracle that half-right maps keep, less what F_syn's steps leave them on an AND gate "
         "of the samples' own evidence", "value <= bound", 0.05,
         "the metric pays for one modality without the other", "models", n_min=20),
    Rule("constant map", "A constant map scores like random orders",
         f"constant map less its mean {_TIED}", "|value| <= bound", 0.15,
         "ties bring luck that no mean over samples takes away", "models", n_min=20),
    Rule("image-only map", "Right cells with all words tied score like random orders of the words",
         f"such a map less its mean {_TIED}", "|value| <= bound", 0.15,
         "ties bring luck that no mean over samples takes away", "models", n_min=20),
    Rule("twins", "Tells a grounded model from its biased twin",
         "AUROC of the oracle's score, grounded against biased", "value >= bound", 0.95,
         "the metric does not see whether a model uses both modalities", "models", n_min=30),
    Rule("random weights", "Finds nothing in a model with shuffled weights",
         "oracle - random with shuffled weights as a share of the same gap before", "|value| <= bound", 0.05,
         "the metric rewards the map and not the model", "models", n_min=15, guard=True),
    Rule("fills", "Ranks alike with fills that no model was trained on",
         f"{_KENDALL} with our blur, the paper's blur, other images' patches and the neighbours' mean",
         "value >= bound", 0.6, "the leaderboard depends on the replacement", "models", n_min=10),
    Rule("steps", "Ranks alike with 5, 10 and 20 steps", f"{_KENDALL} with K = 5, 10, 20", "value >= bound", 0.8,
         "the leaderboard depends on the resolution of the curve", "models", n_min=10, guard=True),
    Rule("granularity", "Ranks alike with cells four times as large", f"{_KENDALL} with 6 x 6 and 3 x 3 cells",
         "value >= bound", 0.6, "the leaderboard depends on the size of a cell", "models", n_min=10),
    Rule("seeds", "Ranks alike on other samples and seeds",
         "mean Kendall tau between rankings from random halves of the samples, each with its own explainer seed",
         "value >= bound", 0.6, "the leaderboard is mostly chance at this number of samples", "models", n_min=20),
)  # fmt: skip
"""Every metric faces all of them; each entry of the panel is one rule on one subject."""


def rule_of(check: str) -> Rule:
    """The rule of a check.

    Raises:
        KeyError: There is none with this name.
    """
    found = {rule.check: rule for rule in RULES}
    if check not in found:
        raise KeyError(f"no rule {check!r}; there are: {', '.join(found)}")
    return found[check]
