"""A word that is pointed at lights its cells, a cell that is focused its words; nothing else changes."""

import numpy as np
import pytest
from PIL import Image
from support.chromium import CHROMIUM

from toolkit.games.attribution import InteractionAttribution
from toolkit.games.game import Players
from toolkit.reporting.page import page
from toolkit.reporting.pair_map import pair_map_html

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PLAYERS = Players.make(("left", "right"), ("red", "circle"))
COLOURS = """([kind, mark]) => [...document.querySelectorAll(kind)].map((one) => getComputedStyle(one)[mark])"""


def drawn(name: str) -> str:
    """Left with red, right with circle."""
    found = InteractionAttribution.from_pairs([[0.5, 0.0], [0.0, 0.5]], PLAYERS, name, "yes")
    regions = np.array([[0.0, 0, 0.5, 1], [0.5, 0, 1, 1]])
    return pair_map_html(Image.new("RGB", (40, 40)), found, regions, "red circle", [(0, 3), (4, 10)])


def clear(colours: list[str]) -> list[bool]:
    return [colour.endswith(", 0)") for colour in colours]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
def test_a_word_lights_its_cells_and_a_cell_its_words(browser, tmp_path):
    path = tmp_path / "pairs.html"
    path.write_text(page("Pairs", "", body=drawn("one") + drawn("two")), encoding="utf-8")
    shown = browser.new_page()
    shown.goto(path.as_uri())
    cells, words = [".cell", "fill"], [".word", "backgroundColor"]
    assert clear(shown.evaluate(COLOURS, cells)) == [False] * 4  # sums, on both maps
    shown.hover(".word.w1 >> nth=0")
    assert clear(shown.evaluate(COLOURS, cells)) == [True, False, False, False]  # only on the map that is pointed at
    shown.mouse.move(0, 0)
    shown.keyboard.press("Tab")  # the first cell
    assert clear(shown.evaluate(COLOURS, words)) == [False, True, False, False]
    assert shown.evaluate("document.activeElement.getAttribute('aria-label')") == "left: red +0.500"
    shown.close()
