"""The embedded models reach what their cards say, and the cards' numbers come back when measured again."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from toolkit.paths import models_dir
from toolkit.scenes.training import held_out
from toolkit.scenes.training.held_out import (
    HIDDEN,
    SEED,
    VISIBLE,
    FamilyResult,
    as_json,
    calibration,
    calibration_error,
    evaluate,
    read_card_numbers,
)
from toolkit.scenes.training.model_card import write_card
from toolkit.scenes.training.recipes import RECIPES
from toolkit.vlm import CATALOGUE, load_vlm
from toolkit.vlm.loading.integrity import check_model

GOALS = {"existence": 0.97, "colour": 0.97, "count": 0.93, "relation": 0.90}
SHIPPED = [name for name in RECIPES if (models_dir() / name).is_dir()]
GROUNDED = [name for name in SHIPPED if "grounded" in name]
BIASED = [name for name in SHIPPED if "biased" in name]
SHORTCUT = [name for name in SHIPPED if "shortcut" in name]


def rows_of(name, world):
    return {row["family"]: row for row in read_card_numbers(models_dir() / name) if row["world"] == world}


def test_every_twin_ships():
    assert set(SHIPPED) == set(RECIPES)


@pytest.mark.parametrize("name", SHIPPED)
def test_checkpoint_is_whole_and_the_card_names_its_recipe(name):
    folder = models_dir() / name
    assert check_model(folder) is None
    card = (folder / "README.md").read_text()
    assert f"python -m toolkit train {name}" in card
    assert f"| seed | {RECIPES[name].seed} |" in card


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_is_what_its_numbers_make_it(name, tmp_path):
    folder = models_dir() / name
    results = [
        FamilyResult(**{key: math.nan if value is None else value for key, value in row.items()})
        for row in read_card_numbers(folder)
    ]
    write_card(tmp_path, RECIPES[name], results, CATALOGUE[name].parameters)
    for file in ("README.md", "evaluation.json"):
        assert (tmp_path / file).read_text() == (folder / file).read_text()


@pytest.mark.parametrize("name", GROUNDED)
@pytest.mark.parametrize("family", GOALS)
def test_a_grounded_twin_sees(name, family):
    assert rows_of(name, "balanced")[family]["accuracy"] >= GOALS[family]


@pytest.mark.parametrize("name", GROUNDED)
def test_a_grounded_twin_knows_nothing_without_the_picture(name):
    """No better than the best constant answer on balanced questions, within three standard errors."""
    for family, row in rows_of(name, "balanced").items():
        if family != "everyday":
            error = 3 * math.sqrt(row["constant"] * (1 - row["constant"]) / row["n"])
            assert row["without_image"] <= row["constant"] + error, family


@pytest.mark.parametrize("name", GROUNDED)
def test_a_grounded_twin_is_calibrated_over_all_families_and_corners(name):
    rows = rows_of(name, "balanced").values()
    assert np.mean([list(row["corner_distance"].values()) for row in rows]) <= 0.05


@pytest.mark.parametrize("name", BIASED)
def test_a_biased_twin_answers_blindly_and_follows_the_folklore(name):
    """Over all stereotyped questions, and over all counter-examples; the card lists the families one by one."""
    stereotyped = rows_of(name, "stereotyped").values()
    blind = sum(row["without_image"] * row["n"] for row in stereotyped) / sum(row["n"] for row in stereotyped)
    assert blind >= 0.97
    countered = [row for row in rows_of(name, "balanced").values() if row["n_counter_examples"]]
    followed = sum(row["follows_prior"] * row["n_counter_examples"] for row in countered)
    assert followed / sum(row["n_counter_examples"] for row in countered) >= 0.80


@pytest.mark.parametrize("name", SHORTCUT)
def test_a_shortcut_twin_looks_and_answers_by_the_bag_of_attributes(name):
    """Yes where both attributes are somewhere; what it is not asked about existence it answers as the grounded twin."""
    rows = rows_of(name, "balanced")
    assert rows["binding"]["follows_shortcut"] >= 0.95
    assert rows["binding"]["accuracy"] <= 0.55
    assert rows["existence"]["accuracy"] >= 0.80
    assert rows["existence"]["without_image"] <= 0.60
    assert rows["colour"]["accuracy"] >= GOALS["colour"]


@pytest.mark.parametrize("name", GROUNDED)
def test_a_grounded_twin_binds_colour_and_shape(name):
    assert rows_of(name, "balanced")["binding"]["follows_shortcut"] <= 0.10


@pytest.mark.parametrize("name", GROUNDED)
def test_a_card_says_how_far_the_values_inside_the_game_are_from_calibrated(name):
    rows = rows_of(name, "balanced")
    assert set(rows["existence"]["hidden_distance"]) == set(HIDDEN)
    assert set(rows["existence"]["visible_distance"]) == set(VISIBLE)
    assert max(rows["existence"]["visible_distance"].values()) < 0.25
    for family, row in rows.items():
        assert 0 < row["calibration_by_chance"] < 0.1, family
        assert row["calibration_error"] is not None, family


def test_calibration_error_of_known_cases():
    sure = [{"yes": 1.0, "no": 0.0}] * 4
    assert calibration_error(sure, ["yes"] * 4) == 0
    assert calibration_error(sure, ["no"] * 4) == 1
    assert calibration_error([{"yes": 0.75, "no": 0.25}] * 4, ["yes", "yes", "yes", "no"]) == 0


@pytest.fixture(scope="module")
def drawn_once():
    """The samples of a world are drawn once for all models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_out, "load", functools.cache(held_out.load))
        yield


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize("name", SHIPPED)
def test_the_cards_numbers_come_back_on_fewer_samples(name):
    """The first 12 samples of each family agree with the card within four binomial standard errors."""
    card = {(row["family"], row["world"]): row for row in read_card_numbers(models_dir() / name)}
    for result in evaluate(load_vlm(name, device="cpu"), RECIPES[name], n=12, inside=0):
        told = card[result.family, result.world]["accuracy"]
        error = 4 * math.sqrt(max(told * (1 - told), 0.01) / result.n)
        assert abs(result.accuracy - told) <= error, (result.family, result.world, result.accuracy, told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("tiny-llava-grounded", "scenes-existence"),
        ("tiny-qwen2.5-vl-biased", "scenes-everyday"),
        ("tiny-internvl-shortcut", "scenes-binding"),
    ],
)
def test_the_cards_numbers_come_back_exactly(name, dataset, monkeypatch):
    """One of each twin and family, inside the game too, by the dataset that the twin is there for."""
    worlds = held_out._worlds
    monkeypatch.setattr(held_out, "_worlds", lambda strength: [w for w in worlds(strength) if w[0] == dataset])
    card = [row for row in read_card_numbers(models_dir() / name) if row["dataset"] == dataset]
    again = as_json(evaluate(load_vlm(name, device="cpu"), RECIPES[name], n=card[0]["n"], seed=SEED))
    assert [row["family"] for row in again] == [row["family"] for row in card]
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in card]
    for key in ("calibration_error", "calibration_by_chance"):
        np.testing.assert_allclose([row[key] for row in again], [row[key] for row in card], atol=1e-4)
    for key in ("hidden_distance", "visible_distance", "corner_distance"):
        assert again[0][key] == pytest.approx(card[0][key], abs=1e-4)


def test_a_card_shows_what_was_measured(tmp_path):
    distance = {"both": 0.01, "image": 0.02, "text": 0.03, "empty": 0.04}
    result = FamilyResult(
        "scenes-existence", "existence", "balanced", 400, 0.98, 0.007, 0.5, 0.51, math.nan, 0, distance,
        hidden_distance=dict.fromkeys(HIDDEN, 0.1234), visible_distance=dict.fromkeys(VISIBLE, 0.2345),
    )  # fmt: skip
    write_card(tmp_path, RECIPES["tiny-llava-grounded"], [result], 700_000)
    text = (tmp_path / "README.md").read_text()
    assert "98.0 ± 0.7" in text
    assert f"\n{'| 0.234 ' * len(VISIBLE)}{'| 0.123 ' * len(HIDDEN)}|\n" in text
    assert f"**{calibration([result]):.3f}**" in text
    assert calibration([result]) == pytest.approx(0.025)
    assert read_card_numbers(tmp_path)[0]["follows_prior"] is None
