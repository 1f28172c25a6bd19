import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from support.fakes import EVIDENCE_CELL, EVIDENCE_WORDS

import toolkit
from toolkit.games.analytic import and_gate, or_gate, xor_gate
from toolkit.games.interactions import shapley_interaction_index
from toolkit.widgets import CoalitionPlayground
from toolkit.widgets.base_widget import table_html
from toolkit.widgets.coalition import cell_groups, pair_of
from toolkit.widgets.picker import SIDE, _seen, _sizes


@pytest.fixture
def playground(models, samples):
    return CoalitionPlayground(models, samples)


@pytest.mark.parametrize(("gate", "index"), [(and_gate, 1), (or_gate, -1), (xor_gate, -2)])
def test_the_pair_of_everything_is_the_gate(gate, index):
    game = gate()
    pair = pair_of(game, np.ones(2, dtype=bool))
    assert pair.alone.difference == pair.among.difference == pair.index == index


def test_the_pair_is_the_interaction_index_of_the_quotient_game(models, samples):
    game = models["grounded"].game(samples[0])
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = rng.random(game.players.n) < 0.5
        cells, words = chosen & game.players.of("image"), chosen & game.players.of("text")
        exact = shapley_interaction_index(game, cells, words)
        assert pair_of(game, chosen).index == pytest.approx(exact.value, abs=1e-12)


def test_clicking_the_evidence_away_lowers_the_value(playground):
    assert "0.950" in playground.value.value
    before = playground.image.value, playground.table.value
    playground.picker.buttons[EVIDENCE_CELL].value = False
    assert "0.500" in playground.value.value
    assert playground.image.value != before[0]
    assert playground.table.value != before[1]


def test_a_word_is_struck_out_and_counted(playground):
    word = playground.picker.buttons[36 + EVIDENCE_WORDS[0]]
    assert word.description == "red"
    word.value = False
    assert "<del" in playground.words.value
    assert "0.500" in playground.value.value


def test_presets(playground):
    playground.preset("evidence")
    assert playground.picker.chosen.sum() == 3
    assert playground.pair.index == pytest.approx(0.45)
    assert "+0.450" in playground.note.value
    playground.preset("nothing")
    assert playground.picker.chosen.sum() == 0
    assert playground.pair.index == 0
    playground.preset("swap")
    assert playground.picker.chosen.all()
    playground.presets["nothing"].click()
    assert not playground.picker.chosen.any()


def test_another_model_has_another_dividend(playground):
    playground.preset("evidence")
    playground.model.value = "biased"
    playground.preset("evidence")
    assert playground.pair.index == pytest.approx(0)
    playground.sample.value = 1
    assert playground.picker.chosen.all(), "another question starts with everything on"


def test_many_buttons_report_once(playground, monkeypatch):
    calls = []
    monkeypatch.setattr(playground.picker, "_changed", lambda: calls.append(1))
    playground.picker.choose(np.zeros(42, dtype=bool))
    assert len(calls) == 1


def test_a_failing_preset_is_shown_to_the_reader(models, samples):
    import dataclasses

    bare = [dataclasses.replace(sample, truth=None) for sample in samples]
    playground = CoalitionPlayground(models, bare)
    playground.presets["evidence"].click()
    assert "no ground truth" in playground.note.value


def test_the_buttons_lie_on_the_picture(playground):
    picker = playground.picker
    style, under, over = picker.cells.children
    assert under is picker.image.box
    assert over is picker.grid
    assert picker.image.value.startswith(b"\x89PNG")
    for child, name in ((picker.cells, "toolkit-stack"), (under, "toolkit-under"), (over, "toolkit-over")):
        assert name in child._dom_classes
        assert f".{name}" in style.value


def test_switching_a_cell_leaves_the_picture_below_it_alone(playground):
    before = playground.picker.image.value
    playground.picker.buttons[EVIDENCE_CELL].value = False
    assert playground.picker.image.value == before
    assert playground.picker.buttons[EVIDENCE_CELL].button_style == ""
    assert playground.picker.buttons[0].button_style == "info"


def test_big_grids_are_grouped_into_groups():
    from toolkit.vlm.adapters.adapter_base import grid_regions

    groups = cell_groups(grid_regions(24, 24))
    assert len(groups) == 36
    assert sorted(np.concatenate([group.players for group in groups]).tolist()) == list(range(576))
    assert all(len(group.players) == 16 for group in groups)
    assert groups[7].label == "2,2"


def test_static(playground):
    page = playground.static()
    assert page.count("<img") == page.count('alt="') == 1
    assert "rest present" in page


def test_nothing_to_play_with_is_refused(models):
    with pytest.raises(ValueError, match="models and samples"):
        CoalitionPlayground(models, [])


def test_several_images_are_refused_by_a_sentence(models, samples):
    several = dataclasses.replace(samples[0], further_images=(samples[0].image,), truth=None)
    with pytest.raises(ValueError, match="has 2 images, and cells to click on are laid out for one"):
        CoalitionPlayground(models, [several])


def photograph() -> toolkit.Sample:
    """A drawn image in the shape of a photograph, 4 : 3, without any truth."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((640, 480))
    return toolkit.load_image_question(image, "is there a red circle ?")


@pytest.mark.parametrize(("players", "shape"), [("grid:3x4", (3, 4)), ("grid:2x1", (2, 1)), ("auto", (6, 6))])
def test_a_photograph_has_a_button_for_every_player(players, shape):
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", players=players)
    playground = CoalitionPlayground({"tiny": vlm}, [photograph()])
    picker = playground.picker
    n_image = shape[0] * shape[1]
    assert len(picker.buttons) == n_image + 6
    assert {button.layout.grid_area for button in picker.buttons[:n_image]} == {
        f"{r + 1} / {c + 1}" for r in range(shape[0]) for c in range(shape[1])
    }
    widths = [int(button.layout.width.removesuffix("px")) for button in picker.buttons[: shape[1]]]
    regions = _seen(playground.samples[0].image, vlm.regions(playground.samples[0]))[1]
    np.testing.assert_allclose(np.cumsum(widths), regions[: shape[1], 2] * SIDE, atol=1)
    before = playground.value.value, playground.image.value
    picker.buttons[0].value = False
    assert picker.chosen.sum() == n_image + 6 - 1
    assert (playground.value.value, playground.image.value) != before


def test_the_buttons_lie_over_the_part_that_the_model_sees():
    """LLaVA's crop of a 4 : 3 photograph is its middle three quarters: the white stripes beside it are not shown."""
    pixels = np.full((48, 64, 3), 255, dtype=np.uint8)
    pixels[:, 8:56] = 0
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    sample = toolkit.load_image_question(Image.fromarray(pixels), "is there a red circle ?")
    seen, regions = _seen(sample.image, vlm.regions(sample))
    assert seen.size == (48, 48)
    assert np.asarray(seen).max() == 0
    np.testing.assert_allclose([regions[:, :2].min(axis=0), regions[:, 2:].max(axis=0)], [[0, 0], [1, 1]])


def test_segments_of_a_photograph_can_be_clicked():
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", players="segments:5")
    playground = CoalitionPlayground({"tiny": vlm}, [photograph()])
    n = vlm.players(playground.samples[0]).n
    assert playground.picker.chosen.sum() == n
    playground.preset("nothing")
    assert playground.picker.chosen.sum() == 0


def test_buttons_are_as_wide_as_the_cells_below_them():
    """Seven tokens in four columns are 2, 2, 2 and 1 wide; segments, which reach over each other, are alike."""
    edges = np.array([0, 2, 4, 6, 7]) / 7
    uneven = np.array([(x0, y, x1, y + 0.5) for y in (0, 0.5) for x0, x1 in pairwise(edges)])
    groups = cell_groups(uneven)
    assert _sizes(groups, uneven, 0) == [72, 72, 72, 36]
    assert _sizes(groups, uneven, 1) == [126, 126]
    segments = np.array([[0, 0, 0.6, 1], [0.4, 0, 1, 1.0]])
    assert _sizes(cell_groups(segments), segments, 0) == [SIDE // 2] * 2


def test_small_numbers_stand_flush_right_too():
    assert table_html(("of", "value"), [("a", "0.001"), ("b", "-2.3e-04")]).count("text-align:right") == 3
