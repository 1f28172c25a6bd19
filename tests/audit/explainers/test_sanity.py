"""Sanity checks and the report card, with explainers whose verdict is known beforehand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from support.fakes import A, B, C, ToyVLM, toy_sample
from support.tiny_models import FAMILIES, tiny_sample, tiny_vlm

from toolkit.audit.explainers import sanity_checks
from toolkit.audit.explainers.plausibility import chance, overlap, plausibility, pointing
from toolkit.audit.explainers.report_card import report_card
from toolkit.audit.explainers.sensitivity import random_sets, sensitivity
from toolkit.explainers import Attribution, explain
from toolkit.stats.rank_agreement import mean_and_error, rank_correlation, text_share


def rebuild(vlm: ToyVLM, model: torch.nn.Module) -> ToyVLM:
    other = ToyVLM()
    other.model = model
    return other


def edges(vlm, sample):
    """Ignores the model altogether."""
    return np.array([4.0, 3, 2, 1, 3, 2, 1])


def weights(vlm, sample):
    """Reads the model and nothing else."""
    return vlm.model.weights[1:8].detach().numpy()


def samples(n: int = 3) -> list:
    return [toy_sample(f"toy-{i}") for i in range(n)]


def test_a_map_of_the_picture_survives_random_weights_and_a_map_of_the_model_does_not() -> None:
    table = sanity_checks.weight_randomisation([edges, weights], ToyVLM(), samples(1), rebuild=rebuild)
    last = table[(table.position == table.position.max()) & (table.modality == "image")].set_index("explainer")
    assert last.loc["edges", "rho"] == pytest.approx(1)
    assert last.loc["weights", "rho"] < 0.9
    torch.testing.assert_close(ToyVLM().model.weights[1:5].detach(), torch.tensor(A, dtype=torch.float64))


def test_a_foreign_model_needs_a_rebuild_function() -> None:
    with pytest.raises(TypeError, match="pass rebuild="):
        sanity_checks.weight_randomisation([edges], ToyVLM(), samples(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cascade_reaches_every_weight_once_from_the_top(family: str) -> None:
    model = tiny_vlm(family).model
    stages = sanity_checks.cascade(model)
    names = [name for name, _ in stages]
    assert names == [
        "head", "decoder 4", "decoder 3", "decoder 2", "decoder 1", "projector", "vision 2", "vision 1", "embeddings",
    ]  # fmt: skip
    seen = [id(p) for _, modules in stages for m in modules for p in m.parameters(recurse=False)]
    assert len(seen) == len(set(seen)) == len(list(model.parameters()))
    assert all(any(True for m in modules for _ in m.parameters(recurse=False)) for _, modules in stages)


def test_redrawn_weights_keep_mean_and_spread() -> None:
    layer = torch.nn.Linear(400, 300)
    before = layer.weight.detach().clone()
    count = sanity_checks.redraw([layer], np.random.default_rng(0))
    assert count == 400 * 300 + 300
    assert float(layer.weight.detach().std()) == pytest.approx(float(before.std()), rel=0.02)
    assert abs(rank_correlation(before.flatten().numpy(), layer.weight.detach().flatten().numpy())) < 0.02


def test_seed_stability_tells_a_deterministic_method_from_noise() -> None:
    table = sanity_checks.seed_stability(["occlusion", "random"], ToyVLM(), samples(8), n=4).set_index("explainer")
    assert table.loc["occlusion", "rho"] == pytest.approx(1)
    assert abs(table.loc["random", "rho"]) < 4 * table.loc["random", "rho_se"] + 0.1


def test_question_randomisation_sees_which_maps_follow_the_question() -> None:
    asked = [dataclasses.replace(toy_sample(f"q{i}"), question=q) for i, q in enumerate(("red circle ?", "a blue one"))]

    def by_question(vlm, sample):
        order = [1.0, 2, 3, 4] if "red" in sample.question else [4.0, 3, 2, 1]
        return np.array([*order, 1, 2, 3])

    table = sanity_checks.question_randomisation([edges, by_question], ToyVLM(), asked).set_index("explainer")
    assert table.loc["edges", "rho"] == pytest.approx(1)
    assert table.loc["by_question", "rho"] == pytest.approx(-1)
    with pytest.raises(ValueError, match="at least 2"):
        sanity_checks.question_randomisation([edges], ToyVLM(), asked[:1])


def test_a_question_comes_from_the_next_sample_with_the_same_choices() -> None:
    """Datasets take turns in the reports, so the neighbour has other choices: every sample still finds its partner."""
    one, two, same = (dataclasses.replace(toy_sample(i), question=q) for i, q in zip("abc", "xyx", strict=True))
    letters = [dataclasses.replace(s, id=f"{s.id}2", choices=("A", "B"), answer=None) for s in (one, two)]
    alone = dataclasses.replace(one, id="alone", choices=("red", "blue"), answer=None)
    found = sanity_checks.partners([one, letters[0], same, alone, two, letters[1]])
    assert [(s.id, o.id) for s, o in found] == [("a", "b"), ("a2", "b2"), ("c", "b"), ("b", "a"), ("b2", "a2")]


def test_twins_see_the_map_move_to_the_words() -> None:
    biased = ToyVLM(a=[x / 10 for x in A], b=B, c=[[x / 10 for x in row] for row in C])
    table = sanity_checks.twins(["occlusion", edges], ToyVLM(), biased, samples()).set_index("explainer")
    assert table.loc["occlusion", "shift"] > 0.1
    assert table.loc["edges", "shift"] == pytest.approx(0)


def test_pointing_and_overlap_by_hand() -> None:
    truth = np.array([1.0, 0.6, 0.2, 0.0])
    assert pointing(np.array([3.0, 1, 2, 0]), truth) == 1
    assert pointing(np.array([1.0, 1, 3, 0]), truth) == 0
    assert pointing(np.array([2.0, 0, 2, 0]), truth) == 0.5
    assert overlap(np.array([3.0, 2, 1, 0]), truth) == 1
    assert overlap(np.array([3.0, 0, 2, 1]), truth) == pytest.approx(1 / 3)
    assert overlap(np.array([0.0, 1, 2, 3]), truth) == 0
    assert overlap(np.zeros(4), truth) == pytest.approx(1 / 3)
    assert chance(truth) == 0.5
    assert math.isnan(pointing(truth, np.zeros(4)))


def test_plausibility_ranks_oracle_random_and_anti_oracle() -> None:
    table = plausibility(["oracle", "random", "anti-oracle"], ToyVLM(), samples(40))
    image = table[table.modality == "image"].set_index("explainer")
    assert image.loc["oracle", "pointing"] == image.loc["oracle", "iou"] == 1
    assert image.loc["anti-oracle", "pointing"] == 0
    assert 0.05 < image.loc["random", "pointing"] < 0.5
    assert image.loc["random", "chance"] == 0.25


def test_sensitivity_is_one_for_a_complete_method_on_an_additive_model() -> None:
    additive = ToyVLM(c=np.zeros((4, 3)).tolist())
    table = sensitivity(["occlusion", "random"], additive, samples(6)).set_index(["explainer", "fraction"])
    for fraction in (0.1, 0.3, 0.6):
        assert table.loc[("occlusion", fraction), "r"] == pytest.approx(1)
        assert abs(table.loc[("random", fraction), "r"]) < 0.7
    sets = random_sets(7, 3, 100, np.random.default_rng(0))
    assert sets.sum(1).tolist() == [3] * 100
    with pytest.raises(ValueError, match="expected 1 to 6"):
        random_sets(7, 7, 1, np.random.default_rng(0))


def test_agreement_by_hand() -> None:
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([10.0, 20, 40])) == pytest.approx(1)
    assert math.isnan(rank_correlation(np.zeros(3), np.arange(3.0)))
    with pytest.raises(ValueError, match="shapes"):
        rank_correlation(np.zeros(3), np.zeros(4))
    assert mean_and_error([1.0, math.nan, 3.0]) == (2.0, 1.0, 2)
    assert math.isnan(mean_and_error([math.nan])[0])
    players = ToyVLM().players(toy_sample())
    att = Attribution(np.array([1.0, -1, 0, 0, 2, 0, 0]), players, "m", "yes")
    assert text_share(att) == 0.5


def test_cost_counts_passes() -> None:
    row = sanity_checks.cost(["occlusion"], ToyVLM(), samples(2)).iloc[0]
    assert (row.n_evaluations, row.n_gradients, row.n_samples) == (8, 0, 2)


@pytest.fixture
def rebuildable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanity_checks, "with_model", rebuild)
    defaults = dict(sanity_checks.weight_randomisation.__kwdefaults__, rebuild=rebuild)
    monkeypatch.setattr(sanity_checks.weight_randomisation, "__kwdefaults__", defaults)


@pytest.mark.usefixtures("rebuildable")
def test_the_report_card_has_every_section_and_marks_its_own_rows(tmp_path) -> None:
    models = {"grounded": ToyVLM(), "biased": ToyVLM(a=[0.0] * 4)}
    beside = ("oracle", "occlusion", "random")
    card = report_card(weights, models, samples(4), beside=beside)
    assert card.passed
    assert list(card.tables) == [
        "faithfulness", "plausibility", "weight randomisation", "seeds", "sensitivity-n", "cost", "twins",
    ] or list(card.tables) == [
        "faithfulness", "plausibility", "weight randomisation", "question", "seeds", "sensitivity-n", "cost", "twins",
    ]  # fmt: skip
    assert set(card.tables["faithfulness"].explainer) == {"weights", *beside}
    page = card.write(tmp_path / "card.html").read_text()
    assert '<tr class="own"><td>weights</td>' in page
    assert "http" not in page
    assert "faithfulness" in card.to_text()
    assert card.verdict.startswith("By the corrected score (synergy-surface-recovered): ")
    assert page.index(card.verdict) < page.index("checks</h2>")


def test_the_report_card_of_a_broken_explainer_stops_at_the_checks() -> None:
    def short(vlm, sample):
        return np.zeros(2)

    card = report_card(short, {"grounded": ToyVLM()}, samples(2))
    assert not card.passed
    assert card.tables == {}
    assert "expected (7,)" in card.to_text()
    with pytest.raises(ValueError, match="'grounded' model"):
        report_card("occlusion", {"biased": ToyVLM()}, samples(1))


def leaky(vlm, sample):
    vlm.model.register_forward_hook(lambda *_: None)
    return np.arange(7.0)


def elsewhere(vlm, sample):
    return Attribution(np.arange(7.0), vlm.players(sample), "elsewhere", "maybe")


def picky(vlm, sample):
    return np.arange(7.0 if sample.id == "toy-0" else 8.0)


@pytest.mark.parametrize(
    ("explainer", "rule"), [(leaky, "nothing left behind"), (elsewhere, "target"), (picky, "every sample")]
)
def test_the_report_card_measures_nothing_where_the_measure_is_broken(explainer, rule: str) -> None:
    """A hooked model would judge the others too, and one answer's map must not be judged on another answer."""
    card = report_card(explainer, {"grounded": ToyVLM()}, samples(2), beside=("random",))
    assert [check.name for check in card.checks if not check.passed] == [rule]
    assert card.tables == {}
    assert f"No tables: they need what is broken above ({rule})" in card.to_text()
    assert f"({rule})" in card.to_html()
    if rule == "every sample":
        assert "fails on 1 of 2 samples; first toy-1: attribution of 'picky' has shape (8,)" in card.to_text()


def test_random_weights_change_the_map_of_a_real_architecture() -> None:
    vlm = tiny_vlm("llava")
    table = sanity_checks.weight_randomisation(["grad-cam"], vlm, [tiny_sample()])
    image = table[table.modality == "image"].set_index("stage")
    assert abs(image.loc["embeddings", "rho"]) < 0.6
    again = explain("grad-cam", vlm, tiny_sample(), target="yes").scores
    np.testing.assert_array_equal(again, explain("grad-cam", vlm, tiny_sample(), target="yes").scores)
