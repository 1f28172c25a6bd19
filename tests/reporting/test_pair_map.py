"""Pairs to look at: every pair has its colour, every player its words for those who hear, and nothing is markup."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from toolkit.games.attribution import InteractionAttribution
from toolkit.games.game import Players
from toolkit.reporting.pair_map import pair_map_html, pair_maps
from toolkit.reporting.plots.style import DIVERGING

PLAYERS = Players.make(("left", "<b>right"), ("red", "<i>"))
FOUND = InteractionAttribution.from_pairs([[0.5, 0.0], [-0.25, 0.125]], PLAYERS, "mine", "yes")
REGIONS = np.array([[0.0, 0, 0.5, 1], [0.5, 0, 1, 1]])
WHERE = (Image.new("RGB", (40, 20)), FOUND, REGIONS, "red <i>", [(0, 3), (4, 7)])


def test_a_pair_has_one_colour_on_both_sides_and_everybody_says_their_strongest_pairs() -> None:
    drawn = pair_map_html(*WHERE)
    red, green, blue = (int(255 * part) for part in DIVERGING(1.0)[:3])
    assert drawn.count(f"--0:rgba({red},{green},{blue},0.85)") == 2  # the pair of left and red, seen from both
    assert 'aria-label="left: red +0.500"' in drawn
    assert 'aria-label="red: left +0.500, &lt;b&gt;right -0.250"' in drawn
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert drawn.count('tabindex="0"') == 4
    assert pair_maps(*WHERE).alt.endswith("Strongest: red: left +0.5; <i>: <b>right +0.125.")


@pytest.mark.parametrize("draw", [pair_map_html, pair_maps])
def test_other_regions_or_words_are_refused(draw) -> None:
    image, found, regions, question, spans = WHERE
    with pytest.raises(ValueError, match="1 regions and 2 spans for pairs of shape"):
        draw(image, found, regions[:1], question, spans)
