import time

import numpy as np
import pytest

from toolkit.reporting.plots.style import new_figure, styled
from toolkit.widgets.frames import Charts
from toolkit.widgets.stage import Stage, rendered
from toolkit.widgets.trace import trace


@pytest.fixture
def stage():
    with styled():
        figure = new_figure(3, 2)
        axes = figure.add_subplot()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        (line,) = axes.plot([0, 1], [0.2, 0.2], color="black", linewidth=3)
        return Stage(figure, [line])


def dark(image):
    return np.asarray(image).max(axis=2) < 60


def test_moving_artists_leave_no_ghost(stage):
    low = dark(stage.image())
    stage.moving[0].set_ydata([0.8, 0.8])
    high = dark(stage.image())
    rows_low, rows_high = np.flatnonzero(low.sum(axis=1) > 100), np.flatnonzero(high.sum(axis=1) > 100)
    assert len(rows_low) == len(rows_high) > 0
    assert rows_high.max() < rows_low.min()


def test_the_still_part_stays(stage):
    first = np.asarray(stage.image())
    stage.moving[0].set_ydata([0.8, 0.8])
    second = np.asarray(stage.image())
    assert (first != second).any()
    assert (first[:, :20] == second[:, :20]).all()


def test_a_chart_does_not_depend_on_what_was_drawn_before(models, samples):
    first, second = (trace(models[name], samples[0], "oracle") for name in ("grounded", "biased"))
    charts = Charts()
    charts.draw(second)
    again = charts.draw(first)
    fresh = Charts().draw(first)
    assert (np.asarray(again.base) == np.asarray(fresh.base)).all()
    assert again.dots == fresh.dots


def test_the_second_chart_is_quick(models, samples):
    found = [trace(models["grounded"], sample, "oracle") for sample in samples]
    charts = Charts()
    took = []
    for one in found:
        start = time.process_time()
        charts.draw(one).frame(3)
        took.append(time.process_time() - start)
    assert took[1] < took[0] / 4  # a twentieth


def test_a_finished_figure_is_drawn_at_its_size():
    with styled():
        figure = new_figure(2, 1)
        figure.add_subplot().plot([0, 1])
    assert rendered(figure)[16:24] == (200).to_bytes(4, "big") + (100).to_bytes(4, "big")
