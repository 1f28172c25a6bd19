import numpy as np
import pytest
from support.fakes import EVIDENCE_CELL

from toolkit.widgets.frames import Charts
from toolkit.widgets.trace import trace


def test_oracle_curves_of_an_and_gate_are_the_ones_on_paper(models, samples):
    found = trace(models["grounded"], samples[0], "oracle")
    assert found.deletion["image"].tolist() == [pytest.approx(0.95)] + [pytest.approx(0.5)] * 10
    assert found.insertion["image"].tolist() == [pytest.approx(0.5)] + [pytest.approx(0.95)] * 10
    assert found.synergy.curve[-1] == pytest.approx(0.45)


def test_both_curves_agree_with_the_model_asked_directly(models, samples):
    found = trace(models["grounded"], samples[0], "random")
    game = models["grounded"].game(samples[0])
    for removal in ("image", "text", "both"):
        masks = np.stack([found.kept(removal, step) for step in range(11)])
        np.testing.assert_allclose(game(masks), found.deletion[removal], atol=1e-12)
    np.testing.assert_allclose(game(~masks), found.insertion["both"], atol=1e-12)


def test_the_biased_model_has_a_flat_picture_curve(models, samples):
    found = trace(models["biased"], samples[0], "oracle")
    assert np.ptp(found.deletion["image"]) == 0
    assert found.srg["image"] == 0


def test_the_first_removed_cell_of_the_oracle_is_the_evidence(models, samples):
    kept = trace(models["grounded"], samples[0], "oracle").kept("image", 1)
    assert not kept[EVIDENCE_CELL]
    assert kept[36:].all()


def test_a_step_outside_the_curve_is_refused(models, samples):
    with pytest.raises(ValueError, match="between 0 and 10"):
        trace(models["grounded"], samples[0], "oracle").kept("both", 11)


def test_the_model_is_asked_for_each_coalition_once(models, samples):
    games = []
    game_of = models["grounded"].game

    def spy(*args, **kwargs):
        games.append(game_of(*args, **kwargs))
        return games[-1]

    models["grounded"].game = spy
    found = trace(models["grounded"], samples[0], "random")
    assert sum(game.n_asked for game in games) == found.n_evaluations == games[0].n_evaluations


def test_chart_marks_the_step_where_the_curves_are(models, samples):
    chart = Charts().draw(trace(models["grounded"], samples[0], "oracle"))
    assert chart.columns.shape == (3, 11)
    assert (np.diff(chart.columns, axis=1) > 0).all()
    first, last = chart.dots[0][0][0], chart.dots[0][10][0]
    assert last[0] > first[0] + 20, "the picture's deletion dot must sink when the answer collapses"
    assert chart.frame(0) != chart.frame(5)
    assert chart.frame(5) == chart.frame(5)
    assert "F_syn" in chart.alt
