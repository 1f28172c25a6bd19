import io
import time

import numpy as np
import pytest
from PIL import Image

from toolkit.widgets import CurveExplorer
from toolkit.widgets.frames import Charts


def pixels(widget):
    return np.asarray(Image.open(io.BytesIO(widget.value)).convert("RGB"), dtype=int)


@pytest.fixture
def explorer(models, samples):
    return CurveExplorer(models, samples, ("oracle", "random"), panes=2)


def test_the_slider_moves_picture_words_probability_and_chart(explorer):
    pane = explorer.panes[0]
    before = pane.image.value, pane.words.value, pane.probability.value, pane.curves.value
    assert "<del" not in pane.words.value
    assert "0.950" in pane.probability.value
    explorer.k.value = 40
    after = pane.image.value, pane.words.value, pane.probability.value, pane.curves.value
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert "<del" in pane.words.value
    assert "0.500" in pane.probability.value
    assert "14 cells and 2 words" in pane.note.value


def test_only_removed_cells_change(explorer):
    whole = pixels(explorer.panes[0].image)
    explorer.removal.value = "picture only"
    explorer.k.value = 10
    changed = (pixels(explorer.panes[0].image) != whole).any(axis=2)
    kept = explorer.trace.kept("image", 1)[:36].reshape(6, 6)
    cells = np.array_split(np.arange(changed.shape[0]), 6)
    for row in range(6):
        for column in range(6):
            inner = changed[cells[row][3:-3][:, None], cells[column][3:-3]]
            assert not (kept[row, column] and inner.any())
    assert changed.any()


def test_each_choice_of_what_is_removed_is_shown(explorer):
    explorer.k.value = 50
    explorer.removal.value = "words only"
    assert "0 cells and 3 words" in explorer.panes[0].note.value
    explorer.removal.value = "picture only"
    assert "18 cells and 0 words" in explorer.panes[0].note.value


def test_panes_compare_models_and_explainers(explorer):
    left, right = explorer.panes
    assert (left.model.value, right.model.value) == ("grounded", "biased")
    explorer.removal.value = "picture only"
    explorer.k.value = 100
    assert "0.500" in left.probability.value
    assert "0.950" in right.probability.value
    curves = right.curves.value
    right.explainer.value = "random"
    assert right.curves.value != curves
    right.model.value = "grounded"
    assert "0.500" in right.probability.value


def test_another_sample_shows_another_picture(explorer):
    picture = explorer.panes[0].image.value
    explorer.sample.value = 1
    assert explorer.panes[0].image.value != picture
    assert explorer.trace.sample.id == "fake-1"


def test_moving_the_slider_asks_the_model_nothing_and_is_quick(explorer, models):
    asked = models["grounded"].n_games, models["biased"].n_games
    start = time.process_time()
    Charts().draw(explorer.trace).frame(0)
    drawn = time.process_time()
    for value in range(0, 101, 10):
        explorer.k.value = value
    assert (time.process_time() - drawn) / 11 < (drawn - start) / 4
    assert (models["grounded"].n_games, models["biased"].n_games) == asked


def test_the_static_stand_in_has_alternative_texts_and_no_widget(explorer):
    explorer.k.value = 30
    page = explorer.static()
    assert page.count("<figure") == 4
    assert page.count('alt="') == page.count("<img") == 4
    assert "widget" not in page
    assert "probability of 0.50" in page
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/html"] == page
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.box.model_id


@pytest.mark.parametrize(("panes", "n"), [(0, 2), (3, 2), (1, 0)])
def test_an_impossible_explorer_is_refused(models, samples, panes, n):
    with pytest.raises(ValueError, match="1 or 2 panes"):
        CurveExplorer(models, samples[:n], panes=panes)
