"""Stability: maps that are known to stay, to follow the image, or to be noise."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from support.fakes import ToyVLM, toy_sample

from toolkit.audit.explainers.plausibility import plausibility
from toolkit.audit.explainers.stability import CHANGES, changed, paraphrase, shifted, stability, uncertainty
from toolkit.explainers import explain
from toolkit.scenes import FAMILIES, load
from toolkit.scenes.vocabulary import VOCABULARY


@pytest.fixture
def toys(monkeypatch):
    """Toy questions have three words, in each wording."""
    monkeypatch.setattr("toolkit.audit.explainers.stability._WORDINGS", ((r"^red (.*)$", r"crimson \1"),))


def samples(n):
    return [toy_sample(f"toy-{i}") for i in range(n)]


@pytest.mark.usefixtures("toys")
def test_controls_and_a_map_of_the_game():
    table = stability(["oracle", "random", "occlusion"], ToyVLM(), samples(8)).set_index(["explainer", "change"])
    for change in CHANGES:
        assert table.loc[("oracle", change), ["rho", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
        noise = table.loc[("random", change)]
        assert noise["low"] < 0.5
        assert noise["rho"] < 0.7
    assert table.loc[("occlusion", "seed"), "rho"] == pytest.approx(1)
    assert set(table["n_samples"]) == {8}


def test_a_paraphrase_asks_the_same_in_known_words():
    for name in FAMILIES:
        for sample in load(name, n=8):
            other = paraphrase(sample)
            if other is not None:
                assert other.question != sample.question
                assert set(other.question.split()) <= set(VOCABULARY)
                assert (other.answer, other.choices) == (sample.answer, sample.choices)
                assert set(sample.question.split()[-3:]) <= set(other.question.split())
    assert paraphrase(dataclasses.replace(toy_sample(), question="Is there a dog in the image?")).question == (
        "Do you see a dog in the image?"
    )
    assert paraphrase(dataclasses.replace(toy_sample(), question="why ?")) is None


def test_a_shift_moves_every_column_by_the_same_few_pixels():
    sample = load("scenes-existence", n=1)[0]
    before, after = (np.asarray(s.image) for s in (sample, shifted(sample)))
    np.testing.assert_array_equal(after[:, 8:], before[:, :-8])
    assert (after[:, :8] == before[:, :1]).all()


@pytest.mark.usefixtures("toys")
def test_what_cannot_be_compared_is_left_out_and_counted():
    asked = [*samples(2), dataclasses.replace(toy_sample("odd"), question="which one is")]
    table = stability(["occlusion"], ToyVLM(), asked).set_index("change")
    assert table["n_samples"].to_dict() == {"seed": 3, "baseline": 3, "shift": 3, "paraphrase": 2}
    flat = stability([lambda vlm, sample: np.zeros(vlm.players(sample).n)], ToyVLM(), samples(2))
    assert flat["n_samples"].eq(0).all()
    assert flat["rho"].isna().all()
    with pytest.raises(ValueError, match="one of seed, baseline, shift, paraphrase, got 'colour'"):
        changed("occlusion", ToyVLM(), asked[0], target="yes", change="colour")


@pytest.mark.usefixtures("toys")
def test_the_uncertainty_of_one_explanation():
    vlm, (sample,) = ToyVLM(), samples(1)
    own = explain("random", vlm, sample)
    found = uncertainty("random", vlm, sample, own).set_index("change")
    assert list(found.index) == list(CHANGES)
    assert (found["rho"] < 1).any()
    steady = uncertainty("oracle", vlm, sample, explain("oracle", vlm, sample))
    assert steady["rho"].eq(1).all()
    assert steady["top"].all()


def test_plausibility_has_intervals_and_controls_apart():
    table = plausibility(["oracle", "random"], ToyVLM(), samples(20))
    image = table[table.modality == "image"].set_index("explainer")
    assert image.loc["oracle", ["pointing_low", "pointing_high"]].tolist() == [1, 1]
    assert image.loc["random", "pointing_low"] <= 0.25 <= image.loc["random", "pointing_high"] < 1
    assert math.isfinite(image.loc["random", "iou_high"])
