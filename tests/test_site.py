"""The site's own pages."""

import runpy
from pathlib import Path

import pytest

from toolkit.explainers import EXPLAINERS

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def test_the_gallery_shows_every_explainer():
    gallery = (NOTEBOOKS / "gallery.md").read_text(encoding="utf-8")
    assert [name for name in EXPLAINERS if f'"{name}"' not in gallery] == []


@pytest.mark.slow  # the extra `site`
def test_what_somebody_solved_in_a_lesson_is_not_on_its_page():
    conf = runpy.run_path(str(NOTEBOOKS / "site" / "conf.py"))
    lessons = sorted(path.stem for path in (NOTEBOOKS / "src").glob("[0-9]*.py"))
    for name in lessons:
        source = ["solved"]
        conf["_as_built"](None, name, source)
        assert source[0] == (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    page = ["as it is"]
    conf["_as_built"](None, "site/speed", page)
    assert page == ["as it is"]
    assert len(lessons) == 10
