"""Verdicts on cases whose verdict is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from toolkit.stats.estimates import Estimate, pooled_mean
from toolkit.stats.verdict import (
    ABOVE,
    BELOW,
    LEVEL,
    Judgement,
    judge,
    judge_explanation,
    judge_run,
    name_boards,
    share_word,
)

N = 12
BASE = np.linspace(0.1, 0.3, N)
STEP = np.linspace(0.1, 0.2, N)
GOOD = {"oracle": BASE + STEP, "random": BASE, "anti-oracle": BASE - STEP}
MIXED = BASE + STEP * np.tile([1, -1], N // 2)


def test_an_explainer_is_judged_against_random_and_not_against_zero() -> None:
    found = judge({**GOOD, "fine": BASE + STEP, "positive": MIXED, "poor": BASE - STEP / 2})
    assert found.control == "passes"
    assert found.standings == {"fine": ABOVE, "positive": LEVEL, "poor": BELOW}  # all three have a mean above zero
    assert found.sentence() == "Above random: fine; below random: poor; not separated from random: positive."


def test_where_the_control_fails_nothing_is_ranked_and_the_reason_is_said() -> None:
    found = judge({**GOOD, "oracle": BASE - STEP, "fine": BASE + STEP})
    assert (found.control, found.may_rank, found.standings) == ("fails", False, {})
    assert "since the oracle is not above random (+0.050 against +0.200" in found.sentence()
    lower = judge({**GOOD, "anti-oracle": BASE + STEP, "fine": BASE + STEP})
    assert "since random is not above the anti-oracle" in lower.sentence()


def test_what_was_not_checked_is_said() -> None:
    few = judge({name: values[:5] for name, values in GOOD.items()} | {"fine": (BASE + STEP)[:5]})
    assert (few.control, few.may_rank) == ("not tested", True)
    assert few.sentence().endswith("Read with care: 5 images are too few to check the metric, it takes 6.")
    none = judge({"random": BASE, "fine": BASE + STEP})
    assert none.standings == {"fine": ABOVE}
    assert "no oracle was measured" in none.sentence()
    assert judge({"fine": BASE}).standings == {}
    assert judge({"fine": BASE}).sentence().startswith("No explainer can be compared with random")


def test_many_explainers_are_corrected_for() -> None:
    rng = np.random.default_rng(0)
    barely = BASE + np.where(np.arange(N) < 11, STEP, -STEP)  # p 0.03 alone
    assert judge({"random": BASE, "barely": barely}).standings["barely"] == ABOVE
    others = {f"noise{i}": BASE + rng.normal(0, 0.1, N) for i in range(9)}
    assert judge({"random": BASE, "barely": barely, **others}).standings["barely"] == LEVEL


def test_a_run_says_what_is_found_and_where_nothing_can_be_ranked() -> None:
    up = Judgement("passes", "", {"occlusion": ABOVE, "tam": LEVEL})
    broken = Judgement("fails", "the oracle is not above random (+0.1 against +0.2)")
    boards = {("g", "x"): up, ("g", "y"): up, ("b", "x"): broken, ("b", "y"): broken}
    pooled = {"occlusion": Estimate(0.2, 0.1, 0.3, 0.05, 24, 12), "tam": Estimate(0.1, -0.1, 0.3, 0.1, 24, 12)}
    assert judge_run(boards, pooled, "f-syn") == [
        "Over the 2 boards (one model on one dataset) that can be judged, occlusion (on 2 of 2 by itself) finds the "
        "joint part of image and words, by f-syn.",
        "Not separated from random: tam.",
        "On b nothing can be ranked, since the oracle is not above random there.",
    ]
    everywhere = judge_run({key: broken for key in boards}, {}, "f-syn")
    assert everywhere == ["On every model nothing can be ranked, since the oracle is not above random there."]
    upside_down = Judgement("fails", "random is not above the anti-oracle (+0.1 against +0.2)")
    assert judge_run({("a", "x"): upside_down}, {}, "f-syn") == [
        "On a nothing can be ranked, since even random is not above the anti-oracle there."
    ]
    assert judge_run({("g", "x"): Judgement("not tested", "why")}, {}, "f-syn")[0].startswith("Nothing can be said")
    open_ = judge_run({("g", "x"): Judgement("not tested", "why", {"tam": LEVEL})}, {"tam": pooled["tam"]}, "f-syn")
    assert open_[0] == (
        "Over the board (one model on one dataset) that can be judged, no explainer is separated from random upwards, "
        "by f-syn."
    )
    assert open_[-1] == "On none of them is the metric itself checked by a known answer."


def test_boards_name_a_model_alone_where_all_its_datasets_are_meant() -> None:
    boards = [("a", "x"), ("a", "y"), ("b", "x")]
    assert name_boards([("a", "x")], boards) == "a (x)"
    assert name_boards([("b", "x"), ("a", "y")], boards) == "b and a (y)"


@pytest.mark.parametrize(
    ("value", "total", "verdict"),
    [
        (0.5, 0.9, "yes"),
        (0.1, 0.9, "open"),
        (-0.5, 0.9, "no"),
        (-0.5, -0.9, "yes"),
        (0.5, -0.9, "no"),
        (9, 0.01, "open"),
    ],
)
def test_an_explanation_is_judged_among_random_orderings(value: float, total: float, verdict: str) -> None:
    found, sentence = judge_explanation("mine", value, np.linspace(0, 0.2, 19), total)
    assert found == verdict
    assert sentence.split()[0] == {"yes": "Yes:", "no": "No:"}.get(verdict, sentence.split()[0])
    assert ("Redundant sample" in sentence) == (total < 0)


def test_too_few_random_orderings_never_convince() -> None:
    assert judge_explanation("mine", 5.0, [0.0] * 18, 1.0)[0] == "open"
    assert judge_explanation("mine", 5.0, [0.0] * 19, 1.0)[0] == "yes"


def test_mostly_needs_more_than_half() -> None:
    assert (share_word(0.51), share_word(0.5)) == ("mostly", "most often")


def test_pooling_weighs_boards_alike_and_counts_shared_images_once() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    one = pooled_mean([x], [np.arange(40)], ["a"])
    assert one.mean == pytest.approx(x.mean())
    assert one.se == pytest.approx(x.std(ddof=1) / 40**0.5, rel=1e-12)
    assert one.high - one.mean == pytest.approx(stats.t.ppf(0.975, 39) * one.se, rel=1e-12)
    uneven = pooled_mean([np.ones(30), np.zeros(3)], [range(30), range(3)], ["a", "b"])
    assert uneven.mean == 0.5
    shared = pooled_mean([x, x], [range(40), range(40)], ["a", "a"])
    apart = pooled_mean([x, x], [range(40), range(40)], ["a", "b"])
    assert shared.se == pytest.approx(one.se, rel=1e-12)  # the same 40 images once more say nothing new
    assert apart.se == pytest.approx(one.se / 2**0.5, rel=1e-12)
    empty = pooled_mean([[], x], [[], range(40)], ["a", "b"])
    assert (empty.n, empty.n_clusters) == (40, 40)
    assert np.isnan(pooled_mean([], [], []).mean)


def test_boards_without_noise_have_the_interval_of_their_means_and_never_leave_them() -> None:
    boards = [np.full(5, mean) for mean in (1.0, 2.0, 4.0, 5.0)]
    found = pooled_mean(boards, [range(5)] * 4, ["a"] * 4, level=0.5)
    se = np.std([1, 2, 4, 5], ddof=1) / 2
    assert found.se == pytest.approx(se, rel=1e-12)
    assert found.high == pytest.approx(3 + stats.t.ppf(0.75, 3) * se, rel=1e-12)
    two = pooled_mean(boards[:2], [range(5)] * 2, ["a"] * 2)
    assert (two.low, two.high) == (1.0, 2.0)
    same = pooled_mean([np.ones(5)] * 3, [range(5)] * 3, ["a"] * 3)
    assert (same.low, same.high, same.se) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("n_boards", [3, 6, 9])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_pooled_interval_covers_what_it_says_with_few_boards_of_few_images(n_boards: int, spread: float) -> None:
    """Boards of two datasets (one for three boards) share their six images, and differ by ``spread``."""
    rng, n_images, hits, runs = np.random.default_rng(n_boards), 6, 0, 1000
    sources = [str(board % 2 if n_boards > 3 else 0) for board in range(n_boards)]
    for _ in range(runs):
        of_images = {source: 0.5 * rng.normal(size=n_images) for source in dict.fromkeys(sources)}
        values = [spread * rng.normal() + of_images[source] + 0.5 * rng.normal(size=n_images) for source in sources]
        found = pooled_mean(values, [range(n_images)] * n_boards, sources)
        hits += found.low <= 0 <= found.high
    assert 0.92 <= hits / runs <= 0.98
