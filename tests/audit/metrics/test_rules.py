import math

import numpy as np
import pytest
from scipy import stats

from toolkit.audit.metrics.controls import CONTROLS, control, half_right_floor, kept_share, localised
from toolkit.audit.metrics.rules import RULES, rule_of
from toolkit.audit.metrics.validity_panel import ValidityPanel, judge
from toolkit.games.game import Players

PLAYERS = Players.make(("c0", "c1", "c2"), ("w0", "w1"))
EVIDENCE = np.array([0.0, 1.0, 0.0, 1.0, 0.0])


def test_rules_have_different_names_and_a_reason():
    assert len({rule.check for rule in RULES}) == len(RULES)
    assert all(rule.why and rule.statistic for rule in RULES)
    with pytest.raises(KeyError, match="gate AND"):
        rule_of("gate NAND")


@pytest.mark.parametrize(
    ("check", "passing", "undecided", "failing"),
    [
        ("gate AND", (0.5, 0.1, 0.9), (0.1, -0.1, 0.3), (-0.5, -0.9, -0.1)),
        ("twins", (0.97, 0.96, 1.0), (0.97, 0.94, 1.0), (0.5, 0.4, 0.6)),
        ("half right, models", (0.0, -0.04, 0.04), (0.0, -0.06, 0.06), (0.2, 0.1, 0.3)),
        ("noise alone", (0.0, -0.1, 0.1), (0.15, 0.05, 0.25), (-0.5, -0.7, -0.3)),
    ],
)
def test_a_rule_decides_where_the_whole_interval_lies_on_one_side(check, passing, undecided, failing):
    found = [judge("m", check, "s", *numbers, 60).verdict for numbers in (passing, undecided, failing)]
    assert found == ["pass", "undecided", "fail"]


def test_an_exact_number_is_decided_and_one_on_a_strict_bound_fails():
    assert judge("m", "gate OR", "OR", 0.0, 0.0, 0.0, 1).verdict == "fail"
    assert judge("m", "gate OR", "OR", 1e-9, 1e-9, 1e-9, 1).verdict == "pass"
    assert judge("m", "parity of three", "XOR", -0.2, -0.2, -0.2, 1).verdict == "fail"


def test_holm_takes_back_what_a_single_rule_would_decide():
    """Two-sided p is .05 where the interval just reaches the bound; of two such entries neither is decided."""
    just = (1.0, 0.01, 1.99)
    one = judge("m", "gate AND", "AND", *just, 40)
    assert one.verdict == "pass"
    assert one.p == pytest.approx(2 * stats.norm.sf(1.959964 * 1 / 0.99))
    both = ValidityPanel.of([one, judge("m", "gate OR", "OR", *just, 40), judge("n", "gate OR", "OR", *just, 40)])
    assert [(e.metric, e.verdict) for e in both.entries] == [("m", "undecided"), ("m", "undecided"), ("n", "pass")]


def test_controls_share_or_reverse_the_evidence():
    scores = {kind: control(kind, EVIDENCE, PLAYERS, "yes").scores for kind in CONTROLS}
    assert scores["oracle"].tolist() == EVIDENCE.tolist()
    assert scores["anti-oracle"].tolist() == (-EVIDENCE).tolist()
    assert scores["words only"].tolist() == [0, -1, 0, 1, 0]
    assert scores["cells only"].tolist() == [0, 1, 0, -1, 0]
    assert scores["image-only"].tolist() == [0, 1, 0, 0, 0]
    assert not scores["constant"].any()
    assert sorted(scores["random"].tolist()) == [0, 1, 2, 3, 4]
    assert control("random", EVIDENCE, PLAYERS, "yes", seed=1).scores.tolist() != scores["random"].tolist()
    with pytest.raises(ValueError, match="unknown control"):
        control("half", EVIDENCE, PLAYERS, "yes")


def test_evidence_everywhere_or_nowhere_is_not_localised():
    assert localised(EVIDENCE, PLAYERS)
    assert not localised(np.array([1, 1, 1, 1, 0.0]), PLAYERS)
    assert not localised(np.array([0, 0, 0, 1, 0.0]), PLAYERS)
    assert not localised(np.array([0, 1, 0, 1, 1.0]), PLAYERS)


def test_kept_share():
    assert kept_share([0.0], [0.0], [1.0], [0.0]) == 0.0
    assert kept_share([1.0], [0.0], [1.0], [0.0]) == 0.5
    assert kept_share([0.2, 0.4], [0.3], [1.0], [0.1]) == pytest.approx(0.2 / 0.9)
    assert math.isnan(kept_share([0.0], [0.0], [1.0], [1.0]))


@pytest.mark.parametrize(("n_words", "deciding", "floor"), [(6, 1, 0.0), (6, 2, 1 / 16), (8, 3, 0.1), (10, 4, 0.1)])
def test_the_floor_of_half_right_maps_is_what_the_steps_leave(n_words, deciding, floor):
    """A perfect AND gate keeps so much at K = 10: no score on this curve can do less."""
    known = np.zeros(36 + n_words)
    known[[5, 9, *range(36, 36 + deciding)]] = 1.0
    players = Players.make(tuple(f"c{i}" for i in range(36)), tuple(f"w{i}" for i in range(n_words)))
    assert half_right_floor(known, players, 10) == pytest.approx(floor, abs=1e-12)


def test_a_cell_without_a_number_or_with_few_samples_has_no_verdict():
    few = judge("m", "controls", "model", 0.5, 0.4, 0.6, 59)
    assert (few.passed, few.verdict) == (None, None)
    assert "needs 60 samples" in (few.reason or "")
    nothing = judge("m", "twins", "pair", math.nan, math.nan, math.nan, 60)
    assert nothing.passed is None
    assert nothing.reason == "no number"


def test_a_verdict_is_a_plain_bool_whatever_the_numbers_are():
    low = np.float64(-0.3)
    cell = judge("m", "gate OR", "OR", np.float64(-0.2), low, np.float64(-0.1), 40)
    assert cell.passed is False
    assert ValidityPanel.of([cell]).failed("m") == (cell,)


def test_panel_counts_only_what_was_judged():
    panel = ValidityPanel.of(
        [
            judge("m", "twins", "pair b", 0.5, 0.4, 0.6, 60),
            judge("m", "gate AND", "AND", 0.5, 0.4, 0.6, 40),
            judge("m", "twins", "pair a", 0.99, 0.98, 1.0, 60),
            judge("m", "twins", "pair c", 0.96, 0.94, 1.0, 60),
            judge("m", "controls", "model", 0.5, 0.4, 0.6, 10),
        ]
    )
    assert [cell.check for cell in panel.entries] == ["gate AND", "controls", "twins", "twins", "twins"]
    summary = panel.summary()["m"]
    assert (summary["gate AND"], summary["twins"], summary["controls"]) == ("1/1", "1/3 1?", "")
    assert [cell.subject for cell in panel.failed("m")] == ["pair b"]
    assert panel.verdict("m") == "m passes 1 of 3 entries, 1 are undecided; it fails: twins."  # no guards
    assert panel.table()["rule"].tolist()[0] == "value > 0"
