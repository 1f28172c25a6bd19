"""The rules of the validity panel: what is computed, what passes, and why. Data, fixed before any metric is run.

A rule never knows which metric it judges. Bounds are not adjusted to results: a metric that misses one fails, and the
panel says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Comparison: TypeAlias = Literal["low > bound", "value >= bound", "value <= bound", "|value| <= bound"]


@dataclass(frozen=True)
class Rule:
    """One check of the panel.

    Attributes:
        check: Name.
        title: What a reader sees.
        statistic: What the number is.
        comparison: Which number is compared how.
        bound: With what.
        why: What a failure would mean.
        needs: ``"games"`` for checks on games known by construction, ``"models"`` for checks on models.
        n_min: Fewer samples than this give a number but no verdict.
    """

    check: str
    title: str
    statistic: str
    comparison: Comparison
    bound: float
    why: str
    needs: Literal["games", "models"]
    n_min: int = 1

    def judge(self, value: float, low: float, high: float) -> bool:
        """Whether a number with its interval passes."""
        if self.comparison == "low > bound":
            return low > self.bound
        if self.comparison == "value >= bound":
            return value >= self.bound
        if self.comparison == "value <= bound":
            return value <= self.bound
        return abs(value) <= self.bound


_GAP = "smaller of the gaps oracle - random and random - anti-oracle"
_KENDALL = "smallest Kendall tau between the rankings of nine methods"

RULES: tuple[Rule, ...] = (
    Rule("gate AND", "Orders the controls on an AND gate", _GAP, "low > bound", 0.0,
         "the metric misses pure synergy", "games"),
    Rule("gate OR", "Orders the controls on an OR gate", _GAP, "low > bound", 0.0,
         "the metric punishes faithful explainers where the modalities are redundant", "games"),
    Rule("gate XOR", "Orders the controls on a XOR gate", _GAP, "low > bound", 0.0,
         "the metric punishes faithful explainers where each modality undoes the other", "games"),
    Rule("gate additive", "Is zero where nothing is joint",
         "largest absolute mean score of oracle, random and anti-oracle on an additive game", "|value| <= bound", 1e-9,
         "the metric counts what one modality does alone as joint", "games"),
    Rule("redundancy visible", "Tells redundancy from nothing",
         "absolute score of the oracle on an OR gate, where a game of constant value scores 0", "value >= bound", 0.05,
         "a redundant sample looks like one without any effect", "games"),
    Rule("noise alone", "Noise scores zero", "mean over noise games in standard errors", "|value| <= bound", 3.0,
         "the metric turns noise of mean zero into a score", "games"),
    Rule("half right, games", "Half-right maps keep nothing of a joint effect",
         "share of oracle - anti-oracle that right words with wrong cells, and right cells with wrong words, keep on "
         "an AND gate", "|value| <= bound", 0.1, "the metric pays for one modality without the other", "games"),
    Rule("ties", "Does not depend on the order of the players",
         "rms change of a binary map's score when the players are renamed, as a share of oracle - random",
         "value <= bound", 0.1, "maps with equal scores are judged by the raster order of their cells", "games"),
    Rule("controls", "Oracle > Random > Anti-oracle on a grounded model",
         "larger p-value of the two one-sided paired Wilcoxon tests", "value <= bound", 1e-6,
         "the metric does not find known evidence on a model that uses it", "models", n_min=200),
    Rule("half right, models", "Half-right maps keep nothing on a grounded model",
         "share of oracle - anti-oracle that half-right maps keep", "|value| <= bound", 0.1,
         "the metric pays for one modality without the other", "models", n_min=20),
    Rule("twins", "Tells a grounded model from its biased twin",
         "AUROC of the oracle's score, grounded against biased", "value >= bound", 0.95,
         "the metric does not see whether a model uses both modalities", "models", n_min=40),
    Rule("random weights", "Finds nothing in a model with shuffled weights",
         "oracle - random with shuffled weights as a share of the same gap before", "|value| <= bound", 0.05,
         "the metric rewards the map and not the model", "models", n_min=20),
    Rule("baselines", "Ranks alike whatever replaces a removed picture", f"{_KENDALL} with blur, mean and noise",
         "value >= bound", 0.6, "the leaderboard depends on the replacement", "models", n_min=10),
    Rule("steps", "Ranks alike with 5, 10 and 20 steps", f"{_KENDALL} with K = 5, 10, 20", "value >= bound", 0.8,
         "the leaderboard depends on the resolution of the curve", "models", n_min=10),
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
