"""The front page's picture, on a model with random weights."""

from __future__ import annotations

from pathlib import Path

from support.tiny_models import untrained_vlm

from toolkit.course.front_figure import front_figure
from toolkit.datasets import load_samples


def test_front_figure_says_what_it_shows(tmp_path: Path) -> None:
    sample = load_samples("scenes-choice", n=1)[0]
    drawing = front_figure(untrained_vlm(), sample, ("input-x-gradient", "random"))
    assert sample.question in drawing.alt
    assert "input-x-gradient" in drawing.alt
    picture, cells, bars, curves = drawing.figure.axes
    assert len(bars.patches) == len(sample.question.split())
    assert [line.get_label().split(":")[0] for line in curves.lines[:2]] == ["input-x-gradient", "random"]
    assert picture.images
    assert cells.images
    assert drawing.save(tmp_path / "front.png").stat().st_size > 10_000
