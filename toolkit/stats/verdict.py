"""Verdicts in words, made from numbers: what a page, a table or a widget concludes is written here.

Two rules hold everywhere. An explainer is judged against random orderings of the same images, never against zero. Where
a known answer is not found (the control failed), nothing is judged, and the reason is said instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from toolkit.stats.estimates import Estimate, holm, paired_test

PASSES, FAILS, UNTESTED = "passes", "fails", "not tested"
ABOVE, LEVEL, BELOW = "above random", "not separated from random", "below random"
CONTROLS = ("oracle", "random", "anti-oracle")
MIN_IMAGES = 6
"""With fewer pairs Wilcoxon's test cannot reach p < 0.05, whatever the scores are."""
SMALLEST_TOTAL = 0.05
"""A total interaction nearer to 0 than this leaves an explanation nothing joint to find."""


@dataclass(frozen=True)
class Judgement:
    """What may be said about explainers on one board.

    Attributes:
        control: ``"passes"``, ``"fails"`` or ``"not tested"``: oracle > random > anti-oracle, each step with p < alpha.
        reason: Why the control does not pass, as a clause; empty where it passes.
        standings: Per explainer that is no control ``"above random"``, ``"not separated from random"`` or ``"below
            random"``; empty where the control failed or there is nothing to compare with.
    """

    control: str
    reason: str = ""
    standings: Mapping[str, str] = field(default_factory=dict)

    @property
    def may_rank(self) -> bool:
        """Whether explainers may be ranked: the control did not fail."""
        return self.control != FAILS

    def sentence(self) -> str:
        """The verdict on the board."""
        if not self.may_rank:
            return f"Nothing can be ranked here, since {self.reason}."
        told = standings_clause(self.standings) if self.standings else "No explainer can be compared with random here"
        return f"{told}." if self.control == PASSES else f"{told}. Read with care: {self.reason}."


def judge(scores: Mapping[str, ArrayLike], *, alpha: float = 0.05) -> Judgement:
    """Judge a metric by its controls, and explainers against random, on the same images.

    Wilcoxon's signed-rank test over images; for the explainers with Holm's correction over all of them.

    Args:
        scores: Per explainer its scores, shape (n_images,), larger is better; NaN where an image has none.
        alpha: Level of the tests.

    Example:
        >>> from toolkit.stats.verdict import judge
        >>> base = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
        >>> up, down = [x + 1 + x / 9 for x in base], [x - 1 - x / 9 for x in base]
        >>> judge({"oracle": up, "random": base, "anti-oracle": down, "mine": up}).sentence()
        'Above random: mine.'
        >>> judge({"oracle": down, "random": base, "anti-oracle": up, "mine": up}).sentence()[:60]
        'Nothing can be ranked here, since the oracle is not above ra'
    """
    found = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items()}
    control, reason = _control(found, alpha)
    others = [name for name in found if name not in CONTROLS]
    if control == FAILS or "random" not in found or not np.isfinite(found["random"]).any():
        return Judgement(control, reason)
    tests = {name: paired_test(found[name], found["random"]) for name in others}
    adjusted = dict(zip(others, holm([test.p for test in tests.values()]), strict=True))
    standings = {
        name: (ABOVE if test.difference > 0 else BELOW) if adjusted[name] < alpha else LEVEL
        for name, test in tests.items()
        if test.n_blocks
    }
    return Judgement(control, reason, standings)


def _control(scores: Mapping[str, np.ndarray], alpha: float) -> tuple[str, str]:
    """The control's verdict, and why it does not pass."""
    missing = [name for name in CONTROLS if name not in scores or not np.isfinite(scores[name]).any()]
    if missing:
        return UNTESTED, f"no {missing[0]} was measured, so the metric is not checked on these samples"
    for high, low in (("oracle", "random"), ("random", "anti-oracle")):
        test = paired_test(scores[high], scores[low])
        if test.n_blocks < MIN_IMAGES:
            return UNTESTED, f"{test.n_blocks} images are too few to check the metric, it takes {MIN_IMAGES}"
        if not (test.difference > 0 and test.p < alpha):
            a, b = (float(np.nanmean(scores[name])) for name in (high, low))
            p = "" if math.isnan(test.p) else f", p {test.p:.2f}"
            return FAILS, f"{_named(high)} is not above {_named(low)} ({a:+.3f} against {b:+.3f}{p})"
    return PASSES, ""


def _named(control: str) -> str:
    return control if control == "random" else f"the {control}"


def listed(names: Iterable[str]) -> str:
    """Names as a sentence lists them: ``a``, ``a and b``, ``a, b and c``."""
    found = list(names)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def standings_clause(standings: Mapping[str, str]) -> str:
    """Who is above, who below, and who is not separated from random, as one clause without a full stop."""
    parts = [
        f"{word}: {listed(names)}"
        for word in (ABOVE, BELOW, LEVEL)
        if (names := [name for name, found in standings.items() if found == word])
    ]
    said = "; ".join(parts)
    return said[:1].upper() + said[1:]


def standing_of(difference: Estimate) -> str:
    """How an explainer stands, from the interval of its difference to random.

    Example:
        >>> from toolkit.stats.estimates import Estimate
        >>> from toolkit.stats.verdict import standing_of
        >>> standing_of(Estimate(0.2, 0.1, 0.3, 0.05, 40, 20)), standing_of(Estimate(0.2, -0.1, 0.5, 0.2, 40, 20))
        ('above random', 'not separated from random')
    """
    return ABOVE if difference.low > 0 else BELOW if difference.high < 0 else LEVEL


def name_boards(chosen: Sequence[tuple[str, str]], boards: Sequence[tuple[str, str]]) -> str:
    """Boards in words: a model alone where all of its datasets are meant.

    Args:
        chosen: Pairs (model, dataset).
        boards: All pairs there are.

    Example:
        >>> from toolkit.stats.verdict import name_boards
        >>> boards = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
        >>> name_boards([("a", "x"), ("a", "y"), ("b", "y")], boards), name_boards(boards, boards)
        ('a and b (y)', 'every model')
    """
    if set(chosen) == set(boards) and len({model for model, _ in boards}) > 1:
        return "every model"
    said = []
    for model in dict.fromkeys(model for model, _ in chosen):
        mine, all_mine = ([d for m, d in pairs if m == model] for pairs in (chosen, boards))
        said.append(model if len(mine) == len(all_mine) else f"{model} ({', '.join(mine)})")
    return listed(said)


def judge_run(boards: Mapping[tuple[str, str], Judgement], pooled: Mapping[str, Estimate], metric: str) -> list[str]:
    """What a whole run found, a sentence each: the explainers against random, then where nothing can be ranked.

    Args:
        boards: Judgement per (model, dataset).
        pooled: Per explainer its pooled difference to random, over the boards that may be ranked.
        metric: By which metric.
    """
    judged = [key for key, found in boards.items() if found.may_rank and found.standings]
    checked = [key for key in judged if boards[key].control == PASSES]
    sentences = []
    standings = {name: standing_of(estimate) for name, estimate in pooled.items()}
    if judged and standings:
        sentences += _pooled_sentences(boards, judged, standings, metric)
    if judged and len(checked) < len(judged):
        some = f"On {len(judged) - len(checked)} of these {len(judged)} boards the metric itself is not"
        sentences.append(f"{some if checked else 'On none of them is the metric itself'} checked by a known answer.")
    for high, low in (("oracle", "random"), ("random", "anti-oracle")):
        said = f"{_named(high)} is not above {_named(low)}"
        failed = [k for k, found in boards.items() if found.control == FAILS and found.reason.startswith(said)]
        if failed:
            where, there = name_boards(failed, list(boards)), "" if high == "oracle" else "even "
            sentences.append(f"On {where} nothing can be ranked, since {there}{said} there.")
    return sentences or [f"Nothing can be said by {metric}: no board has scores of an explainer and of random."]


def _pooled_sentences(
    boards: Mapping[tuple[str, str], Judgement],
    judged: list[tuple[str, str]],
    standings: Mapping[str, str],
    metric: str,
) -> list[str]:
    """Who finds the joint part over all judged boards, and on how many of them by itself."""
    n = len(judged)
    counts = {name: sum(boards[key].standings.get(name) == ABOVE for key in judged) for name in standings}
    best = [name for name, word in standings.items() if word == ABOVE]
    where = f"the {'board' if n == 1 else f'{n} boards'} (one model on one dataset) that can be judged"
    said = [f"{name} (on {counts[name]} of {n} by itself)" for name in best]
    told = (
        f"Over {where}, {listed(said)} {'find' if len(best) > 1 else 'finds'} the joint part of image and words"
        if best
        else f"Over {where}, no explainer is separated from random upwards"
    )
    rest = standings_clause({name: word for name, word in standings.items() if word != ABOVE})
    return [f"{told}, by {metric}.", *([f"{rest}."] if rest else [])]


def judge_explanation(
    explainer: str, value: float, random: ArrayLike, total: float, *, alpha: float = 0.05
) -> tuple[str, str]:
    """Does one explanation hold? Its F_syn among those of random orderings of the same sample.

    A redundant sample (total interaction below 0) turns the order round: there the right players make F_syn fall early.

    Args:
        explainer: Name of the explainer.
        value: Signed F_syn of its attribution.
        random: Signed F_syn of random orderings, shape (n,).
        total: Total interaction of the sample.
        alpha: Level: the share of orderings, its own included, that may do as well.

    Returns:
        ``"yes"``, ``"no"`` or ``"open"``, and the sentence.

    Example:
        >>> from toolkit.stats.verdict import judge_explanation
        >>> judge_explanation("occlusion", 0.4, [0.1] * 19, 0.9)
        ('yes', 'Yes: occlusion has F_syn +0.400, above all 19 random orderings (mean +0.100).')
        >>> judge_explanation("occlusion", 0.4, [0.1] * 19, 0.01)[0]
        'open'
    """
    others = np.asarray(random, dtype=np.float64)
    n = len(others)
    if abs(total) < SMALLEST_TOTAL:
        return "open", (
            f"It cannot be said: image and words have next to no joint part here (total interaction "
            f"{total:+.3f}), so there is none to find."
        )
    sign = math.copysign(1.0, total)
    as_good, worse = (int((sign * others >= sign * value).sum()), int((sign * others <= sign * value).sum()))
    turned = " Redundant sample: lower is better." if total < 0 else ""
    scored = f"{explainer} has F_syn {value:+.3f}"
    mean = f"(mean {others.mean():+.3f})"
    if (as_good + 1) / (n + 1) <= alpha:
        beaten = f"{'above' if sign > 0 else 'below'} " + (f"all {n}" if not as_good else f"{n - as_good} of {n}")
        return "yes", f"Yes: {scored}, {beaten} random orderings {mean}.{turned}"
    if (worse + 1) / (n + 1) <= alpha:
        return "no", f"No: {scored}, worse than {n - worse} of {n} random orderings {mean}.{turned}"
    return "open", (
        f"Not separated from random: {scored}, and {as_good} of {n} random orderings do as well or better {mean}."
        f"{turned}"
    )


def joint_part(low: float, high: float) -> str:
    """What a mean total interaction says, from its interval.

    Example:
        >>> from toolkit.stats.verdict import joint_part
        >>> joint_part(0.2, 0.6), joint_part(-0.1, 0.3)
        ('image and words work together', 'no joint part is separated from zero')
    """
    if low > 0:
        return "image and words work together"
    return "image and words repeat each other" if high < 0 else "no joint part is separated from zero"


def share_word(low: float) -> str:
    """How often the largest share occurs: ``mostly`` only where its whole interval is above half, else ``most often``.

    Example:
        >>> from toolkit.stats.verdict import share_word
        >>> share_word(0.6), share_word(0.45)
        ('mostly', 'most often')
    """
    return "mostly" if low > 0.5 else "most often"
