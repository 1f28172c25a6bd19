"""Maps put each score where it belongs, and zero is white."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from toolkit.datasets.image_file import png_bytes
from toolkit.reporting.plots.maps import NOISE, attribution_map, centred, heat, overlay, ranked_players, tokens_html
from toolkit.reporting.plots.style import DIVERGING

GRID = np.array([(x / 3, y / 3, (x + 1) / 3, (y + 1) / 3) for y in range(3) for x in range(3)])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_centred_keeps_signs_and_zero(scores):
    found = centred(scores)
    assert np.abs(found).max() <= 1
    assert (np.sign(found) * np.sign(scores) >= 0).all()
    strongest = scores[np.argmax(np.abs(scores))]
    assert found[np.argmax(np.abs(scores))] == (np.sign(strongest) if abs(strongest) >= NOISE else 0)
    assert not centred([0.0, 0.0]).any()


def test_heat_paints_every_cell_in_its_place():
    painted = heat(np.arange(9.0), GRID, size=9)
    assert painted[::3, ::3].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert (painted[6:, 3:6] == 7).all()


def test_heat_averages_overlaps_and_leaves_gaps():
    painted = heat([1.0, 3.0], np.array([[0, 0, 1, 0.5], [0, 0, 0.5, 0.5]]), size=4)
    assert painted[0].tolist() == [2, 2, 1, 1]
    assert np.isnan(painted[2:]).all()
    with pytest.raises(ValueError, match="expected one each"):
        heat([1.0], GRID)


def test_the_overlay_is_orange_for_purple_against_and_grey_for_nothing():
    scores = np.zeros(9)
    scores[0], scores[8] = 5.0, -5.0
    painted = np.asarray(overlay(Image.new("RGB", (30, 30), "white"), scores, GRID, side=30)).astype(int)
    red, green, blue = painted[2, 2]
    assert red > green > blue
    red, green, blue = painted[28, 28]
    assert blue > red > green
    red, green, blue = painted[15, 15]
    assert max(red, green, blue) - min(red, green, blue) <= 2
    assert np.allclose(DIVERGING(0.5)[:3], 0.968, atol=0.01)


def test_one_colour_scale_for_both_signs():
    """Half the size is half the colour: scaling does not stretch the weaker sign."""
    scores = np.zeros(9)
    scores[0], scores[1] = 1.0, -0.5
    painted = heat(centred(scores), GRID, size=9)
    assert painted[0, 0] == 1.0
    assert painted[0, 3] == -0.5


def test_tokens_keep_the_question_and_escape_it():
    question = "is <b> there ?"
    found = tokens_html(question, [(0, 2), (3, 6), (7, 12)], [1.0, -0.2, 0.0])
    assert "&lt;b&gt;" in found
    assert "<b>" not in found
    assert found.endswith(" ?")
    assert [found.index(s) for s in ("2px solid", "2px dotted", "2px none")] == sorted(
        found.index(s) for s in ("2px solid", "2px dotted", "2px none")
    )
    with pytest.raises(ValueError, match="expected one each"):
        tokens_html(question, [(0, 2)], [1.0, 2.0])


def test_ranked_players_are_those_of_largest_size():
    assert ranked_players(["a", "b", "c"], [0.1, -3.0, 2.0], n=2) == [("b", -3.0), ("c", 2.0)]
    with pytest.raises(ValueError, match="expected one each"):
        ranked_players(["a"], [1.0, 2.0])


def test_the_figure_names_its_largest_scores():
    scores = np.zeros(9)
    scores[4] = 0.5
    drawing = attribution_map(Image.new("RGB", (30, 30)), scores, GRID, ["red", "?"], [-0.25, 0.0], title="t")
    assert "cell 4 +0.5" in drawing.alt
    assert "red -0.25" in drawing.alt
    assert drawing.png()[:4] == b"\x89PNG"


def test_png_bytes_are_a_picture():
    with Image.open(io.BytesIO(png_bytes(Image.new("RGB", (4, 5))))) as picture:
        assert picture.size == (4, 5)
