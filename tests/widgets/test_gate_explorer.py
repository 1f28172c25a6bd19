import numpy as np
import pytest

from toolkit.datasets.sample import Corners
from toolkit.synergy import total_interaction
from toolkit.widgets import GateExplorer
from toolkit.widgets.gate_explorer import game_of, gate_name, order_of


@pytest.fixture(scope="module")
def explorer():
    return GateExplorer()


@pytest.mark.parametrize(("gate", "dividend"), [("AND", 1), ("OR", -1), ("XOR", -2), ("additive", 0), ("text only", 0)])
def test_each_gate_has_its_dividend(explorer, gate, dividend):
    explorer.gate.value = gate
    assert explorer.values.total_interaction == pytest.approx(dividend)
    assert f"{dividend:+.2f}" in explorer.table.value


def test_the_game_has_the_corners_it_was_given():
    corners = Corners(0.9, 0.4, 0.35, 0.2)
    game = game_of(corners)
    table = np.array([[True] * 15, [True] * 10 + [False] * 5, [False] * 10 + [True] * 5, [False] * 15])
    np.testing.assert_allclose(game(table), [0.9, 0.4, 0.35, 0.2], atol=1e-12)
    assert total_interaction(game).value == pytest.approx(corners.total_interaction)


def test_ranks_put_the_evidence_where_they_say():
    scores = order_of(game_of(Corners(1, 0, 0, 0)), 4, 2).scores
    assert (scores[:10] > scores[0]).sum() == 3
    assert (scores[10:] > scores[10]).sum() == 1


def test_redundancy_is_negative_signed_and_zero_clipped(explorer):
    explorer.gate.value = "OR"
    explorer.cell_rank.value = explorer.word_rank.value = 1
    explorer.noise.value = 0
    assert explorer.score.value < -0.8
    assert explorer.score.paper.value == 0
    assert "redundancy" in explorer.note.value


def test_every_control_changes_the_figure(explorer):
    explorer.gate.value = "AND"
    for control, value in (
        (explorer.corners[0], 60),
        (explorer.corners[2], 30),
        (explorer.cell_rank, 5),
        (explorer.word_rank, 5),
        (explorer.noise, 20),
        (explorer.seed, 3),
    ):
        before = explorer.figure.value
        control.value = value
        assert explorer.figure.value != before, control.description
    assert explorer.static().count('alt="') == 1


def test_names():
    assert gate_name(Corners(1, 0.5, 0.5, 0.0)) == "text-only and image-only"
    assert gate_name(Corners(0, 1, 1, 0)) == "interference"
    assert gate_name(Corners(0.5, 0.5, 0.5, 0.5)) == "neither"
    assert gate_name(Corners(1, 1, 1, 0)) == "redundancy"
