"""The site's own pages."""

from pathlib import Path

from toolkit.explainers import EXPLAINERS

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def test_the_gallery_shows_every_explainer():
    gallery = (NOTEBOOKS / "gallery.md").read_text(encoding="utf-8")
    assert [name for name in EXPLAINERS if f'"{name}"' not in gallery] == []
