"""The grid of maps: cells over the picture, words on their colours, evidence framed, failures said."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.tiny_models import untrained_vlm
from typer.testing import CliRunner

from toolkit.audit.explainers.map_grid import MapRow, hits, localised_samples, map_grid, map_row, maps_page, word_lines
from toolkit.cli import app
from toolkit.datasets import load_samples
from toolkit.explainers import Attribution
from toolkit.games.game import Players
from toolkit.registry import UnknownNameError
from toolkit.reporting.plots.style import DIVERGING
from toolkit.vlm.model import LoadedVLM

GRID = np.array([(x / 6, y / 6, (x + 1) / 6, (y + 1) / 6) for y in range(6) for x in range(6)])


@pytest.fixture(scope="module")
def vlm() -> LoadedVLM:
    return untrained_vlm()


def row_of(cell: int, word: int, *, fails: bool = False) -> MapRow:
    """One map of a real sample, with all its weight on one cell and one word."""
    sample = localised_samples(1)[0]
    words = sample.question.split()
    spans = tuple((sample.question.index(w), sample.question.index(w) + len(w)) for w in words)
    players = Players.make(tuple(f"cell {i}" for i in range(36)), tuple(words))
    scores = np.zeros(players.n)
    scores[cell], scores[36 + word] = 1.0, -1.0
    truth = np.zeros(players.n)
    truth[7] = truth[36 + 3] = 1.0
    maps = {"peak": Attribution(scores, players, "peak", "yes")}
    return MapRow(sample, "yes", GRID, spans, truth, maps, {"broken": "ValueError: out of luck"} if fails else {})


def test_every_map_lies_on_the_picture_and_every_word_on_its_colour() -> None:
    row = row_of(cell=13, word=2)
    axes = map_grid([row]).figure.axes[0]
    picture, found = axes.images
    left, right, bottom, top = found.get_extent()
    assert (right - left, bottom - top) == pytest.approx((1, 1)), "a map is as large as the picture beside it"
    assert picture.get_extent()[2:] == [bottom, top]
    pixels = np.asarray(found.get_array()).astype(int)
    orange = (pixels[:, :, 0] - pixels[:, :, 2]) > 60
    rows, columns = np.nonzero(orange)
    cell = 192 / 6
    assert (rows.min() // cell, rows.max() // cell, columns.min() // cell, columns.max() // cell) == (2, 2, 1, 1)
    purple = [p for p in axes.patches if np.allclose(p.get_facecolor(), DIVERGING(0.0), atol=1e-3)]
    (word,) = purple
    written = [t for t in axes.texts if t.get_text() == row.sample.question.split()[2]]
    assert any(word.get_x() == t.get_position()[0] and word.get_y() < t.get_position()[1] for t in written)
    inks = {t.get_position()[0] > 1: t.get_color() for t in written}
    assert inks[True] == "#fff", "dark purple asks for white letters"
    assert inks[False] != "#fff", "the question below the picture has no colour behind it"
    coloured = sorted((p for p in axes.patches if p.get_fill()), key=lambda p: p.get_x())
    gaps = [b.get_x() - a.get_x() - a.get_width() for a, b in itertools.pairwise(coloured)]
    assert len(coloured) == len(row.spans)
    assert min(gaps) > 0.01, "a space between words"


def test_the_evidence_is_framed_where_it_was_generated() -> None:
    row = row_of(cell=0, word=0)
    boxes = row.sample.truth.evidence_boxes
    frames = [p for p in map_grid([row]).figure.axes[0].patches if not p.get_fill()]
    assert len(frames) == 2 * len(boxes) > 0, "once on the picture, once on the map"
    x0, y0, x1, y1 = boxes[0]
    assert x0 != y0, "a sample on the diagonal would not tell rows from columns"
    assert frames[0].get_xy() == pytest.approx((x0, y0))
    assert (frames[0].get_width(), frames[0].get_height()) == pytest.approx((x1 - x0, y1 - y0))


def test_hits_count_maps_whose_peak_is_evidence() -> None:
    table = hits([row_of(7, 3), row_of(8, 3)]).set_index("explainer")
    assert table.loc["peak", "image"] == 0.5
    assert table.loc["peak", "image chance"] == pytest.approx(1 / 36)
    assert table.loc["peak", "n_samples"] == 2


def test_a_method_that_fails_is_named_and_leaves_its_place_empty(vlm: LoadedVLM) -> None:
    drawing = map_grid([row_of(7, 3, fails=True)], title="somebody")
    assert "Without a map somewhere: broken" in drawing.alt
    assert "somebody" in drawing.alt
    assert len(drawing.figure.axes[0].images) == 2
    sample = load_samples("scenes-existence", n=1)[0]
    bare = type(sample)(id="bare", image=Image.new("RGB", (96, 96)), question="is there a red circle ?",
                        choices=("yes", "no"))  # fmt: skip
    row = map_row(vlm, bare, ["oracle", "random"])
    assert "carries no ground truth" in row.failures["oracle"]
    assert list(row.maps) == ["random"]
    with pytest.raises(ValueError, match="no samples"):
        map_grid([])


def test_words_wrap_without_losing_any() -> None:
    question = "what color is the circle ? A yellow B black"
    spans, at = [], 0
    for word in question.split():
        at = question.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    lines = word_lines(question, spans, letters=12)
    assert [index for line in lines for index in line] == list(range(len(spans)))
    widths = [sum(spans[i][1] - spans[i][0] + 1 for i in line) - 1 for line in lines]
    assert max(widths) <= 12 < sum(widths)


def test_localised_samples_take_turns_and_point_somewhere() -> None:
    samples = localised_samples(8)
    assert [s.dataset for s in samples[:4]] == [s.dataset for s in samples[4:]]
    assert len({s.dataset for s in samples}) == 4
    assert all(s.truth.evidence_boxes for s in samples)


def test_the_page_has_one_figure_per_model_on_the_same_samples(vlm: LoadedVLM, tmp_path: Path) -> None:
    page = maps_page(tmp_path, {"one": vlm, "a/b": vlm}, localised_samples(2), explainers=["grad-cam", "oracle"])
    text = page.read_text()
    assert text.count("<img ") == 2
    assert text.count('alt="Maps of 2 samples') == 2
    assert "overflow-x:auto" in text, "a wide figure scrolls and is not shrunk until its words cannot be read"
    assert '<a href="maps-a--b.png">' in text
    assert text.count("2 explainers side by side; scroll to those that do not fit") == 2
    assert text.count("Share of the samples where the highest score") == 2
    assert "n_samples" not in text
    assert "oracle 100% of pictures, 100% of questions" in text
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["maps-a--b.png", "maps-one.png"]
    with pytest.raises(UnknownNameError, match="Did you mean"):
        maps_page(tmp_path, {"one": vlm}, localised_samples(2), explainers=["grad-can"])


def test_the_command_says_what_is_wrong_before_it_loads_anything(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["maps", "--explainers", "grad-can", "--out", str(tmp_path)])
    assert result.exit_code != 0
    assert "grad-cam" in result.stderr + result.stdout + str(result.exception)


@pytest.mark.parametrize("command", ["maps", "sanity"])
def test_where_it_cannot_write_a_command_says_so_before_it_computes(command: str, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    result = CliRunner().invoke(app, [command, "--out", str(taken / "below"), "--explainers", "grad-can"])
    assert result.exit_code != 0
    assert "is a file; give a folder" in " ".join(result.stderr.split()), "not the explainer's name, which comes later"
    assert taken.read_text() == "mine"
