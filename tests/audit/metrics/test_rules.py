import math

import numpy as np
import pytest

from toolkit.audit.metrics.controls import CONTROLS, control, kept_share, localised
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
    ("check", "passing", "failing"),
    [
        ("gate AND", (0.5, 0.1, 0.9), (0.5, -0.1, 0.9)),
        ("twins", (0.95, 0.9, 1.0), (0.949, 0.9, 1.0)),
        ("controls", (1e-7, math.nan, math.nan), (1e-5, math.nan, math.nan)),
        ("noise alone", (-2.9, -5, 0), (-3.1, -5, 0)),
    ],
)
def test_every_comparison_has_two_sides(check, passing, failing):
    assert rule_of(check).judge(*passing)
    assert not rule_of(check).judge(*failing)


def test_controls_share_or_reverse_the_evidence():
    scores = {kind: control(kind, EVIDENCE, PLAYERS, "yes").scores for kind in CONTROLS}
    assert scores["oracle"].tolist() == EVIDENCE.tolist()
    assert scores["anti-oracle"].tolist() == (-EVIDENCE).tolist()
    assert scores["words only"].tolist() == [0, -1, 0, 1, 0]
    assert scores["cells only"].tolist() == [0, 1, 0, -1, 0]
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


def test_a_cell_without_a_number_or_with_few_samples_has_no_verdict():
    few = judge("m", "controls", "model", 1e-9, math.nan, math.nan, 100)
    assert few.passed is None
    assert "needs 200 samples" in (few.reason or "")
    nothing = judge("m", "twins", "pair", math.nan, math.nan, math.nan, 60)
    assert nothing.passed is None
    assert nothing.reason == "no number"


def test_a_verdict_is_a_plain_bool_whatever_the_numbers_are():
    low = np.float64(-0.1)
    cell = judge("m", "gate OR", "OR", np.float64(0.1), low, np.float64(0.3), 40)
    assert cell.passed is False
    assert ValidityPanel.of([cell]).failed("m") == (cell,)


def test_panel_counts_only_what_was_judged():
    panel = ValidityPanel.of(
        [
            judge("m", "twins", "pair b", 0.5, 0.4, 0.6, 60),
            judge("m", "gate AND", "AND", 0.5, 0.4, 0.6, 40),
            judge("m", "twins", "pair a", 0.99, 0.98, 1.0, 60),
            judge("m", "controls", "model", 1e-9, math.nan, math.nan, 10),
        ]
    )
    assert [cell.check for cell in panel.entries] == ["gate AND", "controls", "twins", "twins"]
    summary = panel.summary()["m"]
    assert (summary["gate AND"], summary["twins"], summary["controls"]) == ("1/1", "1/2", "")
    assert [cell.subject for cell in panel.failed("m")] == ["pair b"]
    assert panel.verdict("m") == "m passes 2 of 3 entries; it fails: twins."
    assert panel.table()["rule"].tolist()[0] == "low > 0"
