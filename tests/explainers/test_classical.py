"""Gradients, integrals, occlusion and controls against closed forms on the toy model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from support.fakes import PAIRS, B, P, ToyVLM, a, b, c, first_order, shapley, toy_sample

from toolkit.explainers import draws, explain, get_explainer
from toolkit.explainers.integrated_gradients import IntegratedGradients, NotConvergedWarning
from toolkit.explainers.internals.gradients import backward_bytes, check_fits, noisy
from toolkit.explainers.oracle import covered, has_evidence, truth_of
from toolkit.explainers.smoothgrad import SmoothGrad
from toolkit.scenes import load


def test_input_x_gradient_is_the_first_order_effect_on_log_p() -> None:
    att = explain("input-x-gradient", ToyVLM(), toy_sample())
    np.testing.assert_allclose(att.scores, first_order() / P, atol=1e-12)
    assert att.target == "yes"
    assert (att.n_evaluations, att.n_gradients) == (1, 1)


def test_integrated_gradients_share_every_interaction_equally() -> None:
    att = explain("integrated-gradients", ToyVLM(), toy_sample())
    np.testing.assert_allclose(att.scores, shapley(), atol=1e-8)
    assert att.convergence_delta is not None
    assert att.convergence_delta < 1e-8
    assert att.scores.sum() == pytest.approx(P - 0.5, abs=1e-8)


def test_explaining_no_negates_explaining_yes() -> None:
    yes = explain("integrated-gradients", ToyVLM(), toy_sample(), target="yes")
    no = explain("integrated-gradients", ToyVLM(), toy_sample(), target="no")
    np.testing.assert_allclose(yes.scores, -no.scores, atol=1e-12)


class Steep(ToyVLM):
    """The toy's v through a sigmoid, so that nearly all of its change lies on a small part of the path."""

    slope = 400.0

    def white_box(self, sample, *, target=None, baseline="blur"):
        box = super().white_box(sample, target=target, baseline=baseline)
        value = box.value
        box.value = lambda pixels, question: torch.sigmoid(self.slope * (value(pixels, question) - 0.6))
        return box


def test_integrated_gradients_add_steps_until_the_sum_is_complete() -> None:
    for coarse, told in (
        (IntegratedGradients(steps=2), "steps above 2"),
        (IntegratedGradients(max_steps=9), "max_steps"),
    ):
        with pytest.warns(NotConvergedWarning, match=f"set {told}"):
            att = explain(coarse, Steep(), toy_sample())
        assert att.convergence_delta > 0.02
        assert att.details["converged"] == 0
    fine = explain("integrated-gradients", Steep(), toy_sample())
    assert fine.details["steps"] > 9
    assert fine.convergence_delta <= 0.02
    assert fine.details["converged"] == 1


def test_halving_where_the_slope_is_agrees_with_a_fine_rule_everywhere() -> None:
    """Against Captum's Gauss-Legendre rule of 400 nodes, with fewer rows than a quarter of them."""
    halved, fine = (
        explain(one, Steep(), toy_sample()) for one in ("integrated-gradients", IntegratedGradients(steps=400))
    )
    assert halved.n_gradients < 100
    np.testing.assert_allclose(halved.scores, fine.scores, atol=0.02 * abs(fine.scores.sum()))


def test_a_spike_costs_two_rows_for_each_halving() -> None:
    """All of the change within a millionth of the path, which a rule for the whole path finds with millions of rows."""

    class Jump(Steep):
        slope = 4e6

    found = explain("integrated-gradients", Jump(), toy_sample())
    assert found.details["converged"] == 1
    assert found.n_gradients < 150


def test_smoothgrad_of_a_linear_model_is_input_x_gradient_of_p() -> None:
    """On log p of a nearly linear model, averaging over small noise changes little; with no noise, nothing."""
    plain = explain("input-x-gradient", ToyVLM(), toy_sample()).scores
    still = explain(SmoothGrad(level=0.0, samples=3), ToyVLM(), toy_sample()).scores
    np.testing.assert_allclose(still, plain, atol=1e-12)
    noise = explain(SmoothGrad(level=0.1, samples=64), ToyVLM(), toy_sample()).scores
    assert 1e-6 < np.abs(noise - plain).max() < 0.1 * np.abs(plain).max()


def test_occlusion_is_leave_one_out() -> None:
    att = explain("occlusion", ToyVLM(), toy_sample())
    np.testing.assert_allclose(att.scores, first_order(), atol=1e-12)
    assert att.n_evaluations == 8


@pytest.mark.parametrize(
    "method", ["input-x-gradient", "integrated-gradients", "smoothgrad", "occlusion", "kernel-shap"]
)
def test_null_player_gets_zero(method: str) -> None:
    att = explain(method, ToyVLM(), toy_sample())
    assert abs(att.scores[3]) < 1e-7
    assert abs(att.scores[6]) < 1e-7
    assert np.abs(att.scores[[0, 4]]).min() > 1e-3


@pytest.mark.parametrize("method", ["input-x-gradient", "integrated-gradients", "occlusion", "kernel-shap"])
def test_symmetric_players_get_equal_scores(method: str) -> None:
    flat = [[0.05, 0.05, 0.05], [0.05, 0.05, 0.05], [0.0] * 3, [0.0] * 3]
    model = ToyVLM(a=(0.1, 0.125, 0.0, 0.0), b=(0.05, 0.05, 0.0), c=[flat[0], [x / 0.8 for x in flat[1]], *flat[2:]])
    scores = explain(method, model, toy_sample()).scores
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert scores[4] == pytest.approx(scores[5], abs=1e-6)
    assert scores[0] != pytest.approx(scores[2], abs=1e-3)


@pytest.mark.parametrize("method", ["input-x-gradient", "integrated-gradients", "occlusion", "kernel-shap"])
def test_swapping_two_cells_and_their_weights_swaps_the_map(method: str) -> None:
    order = [1, 0, 2, 3]
    sample = toy_sample()
    grey = np.asarray(sample.image)
    swapped = np.concatenate([np.concatenate([grey[:2, 2:], grey[:2, :2]], axis=1), grey[2:]])
    other = dataclasses.replace(sample, image=Image.fromarray(swapped))
    moved = ToyVLM(a=a[order].tolist(), b=B, c=c[order].tolist())
    before = explain(method, ToyVLM(), sample).of("image")
    after = explain(method, moved, other).of("image")
    np.testing.assert_allclose(after, before[order], atol=1e-6)
    assert not np.allclose(after, before, atol=1e-3)


def test_integrated_gradients_are_linear_in_the_model() -> None:
    def scores(scale: float, second: float) -> np.ndarray:
        mixed = ToyVLM(scale * a + second * a[::-1], scale * b + second * b[::-1], scale * c + second * c[::-1])
        return explain("integrated-gradients", mixed, toy_sample(), target="yes").scores

    np.testing.assert_allclose(scores(0.5, 0.3), 0.5 * scores(1, 0) + 0.3 * scores(0, 1), atol=1e-10)


def test_kernel_shap_of_all_coalitions_is_the_shapley_value() -> None:
    att = explain("kernel-shap", ToyVLM(), toy_sample())
    np.testing.assert_allclose(att.scores, shapley(), atol=1e-6)
    assert att.n_evaluations == 2**7
    assert att.details == {"budget": 2**7, "exact": 1, "error": 0.0}
    assert att.convergence_delta is None


def test_shapley_interaction_sums_the_cross_modal_pairs() -> None:
    att = explain("shapley-interaction", ToyVLM(), toy_sample())
    np.testing.assert_allclose(att.scores, [*PAIRS.sum(1), *PAIRS.sum(0)], atol=1e-6)
    assert att.of("image").sum() == pytest.approx(att.of("text").sum(), abs=1e-9)


def test_too_many_players_for_interactions_are_refused_with_the_numbers() -> None:
    from toolkit.explainers.shapley_interaction import ShapleyInteraction

    assert ShapleyInteraction().rows(42) == 2034
    with pytest.raises(ValueError, match="600 players need about 405678 evaluations"):
        ShapleyInteraction().rows(600)


@pytest.mark.parametrize("method", ["input-x-gradient", "integrated-gradients", "smoothgrad"])
def test_another_implementation_of_the_same_function_gets_the_same_scores(method: str) -> None:
    class Rewritten(ToyVLM):
        def white_box(self, sample, *, target=None, baseline="blur"):
            box = super().white_box(sample, target=target, baseline=baseline)
            w = box.model.weights
            slopes = w[1:8], w[8:].reshape(4, 3)

            def logit(pixels, question):
                cells = [pixels[:, 0, r : r + 2, s : s + 2].sum((1, 2)) / 4 for r in (0, 2) for s in (0, 2)]
                words = [question[:, j, 0] for j in range(3)]
                (alone, together), everybody = slopes, [*cells, *words]
                total = w[0] + sum(d * x for d, x in zip(alone, everybody, strict=True))
                return total + sum(together[i, j] * m * u for i, m in enumerate(cells) for j, u in enumerate(words))

            box.logit = logit
            return box

    one = explain(method, ToyVLM(), toy_sample()).scores
    two = explain(method, Rewritten(), toy_sample()).scores
    np.testing.assert_allclose(one, two, atol=1e-12)


def test_random_differs_between_samples_and_seeds_and_repeats_from_a_seed() -> None:
    vlm = ToyVLM()
    one, two = (explain("random", vlm, toy_sample(i)).scores for i in ("x", "y"))
    assert not np.allclose(one, two)
    np.testing.assert_array_equal(one, explain("random", vlm, toy_sample("x")).scores)
    many = np.array([att.scores for att in draws("random", vlm, toy_sample("x"), n=200)])
    assert len(np.unique(many[:, 0])) == 200
    assert abs(many.mean()) < 4 / np.sqrt(many.size)
    explainer = get_explainer("random")
    same = [explainer.attribute(vlm, toy_sample(i), rng=np.random.default_rng(0)).scores for i in ("x", "y")]
    assert not np.allclose(*same)


def test_oracle_marks_the_evidence_and_anti_oracle_is_its_negative() -> None:
    att = explain("oracle", ToyVLM(), toy_sample())
    np.testing.assert_array_equal(att.scores, [1, 0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(explain("anti-oracle", ToyVLM(), toy_sample()).scores, -att.scores)


@pytest.mark.parametrize("method", ["oracle", "anti-oracle"])
def test_oracle_without_truth_says_what_is_missing(method: str) -> None:
    with pytest.raises(ValueError, match="carries no ground truth"):
        explain(method, ToyVLM(), toy_sample(truth=False))


def test_a_family_that_the_models_do_not_solve_is_no_ground_truth() -> None:
    sample = load("scenes-mixed", n=2)[1]
    assert sample.truth is not None
    assert (sample.category, sample.truth.is_control) == ("neighbour", False)
    assert not has_evidence(sample)
    with pytest.raises(ValueError, match="family 'neighbour', which the embedded models answer too badly"):
        truth_of(sample)
    assert has_evidence(load("scenes-mixed", n=1)[0])


def test_covered_counts_overlapping_boxes_once() -> None:
    regions = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 1.0]])
    boxes = ((0.0, 0.0, 0.25, 0.5), (0.125, 0.0, 0.75, 0.25))
    np.testing.assert_allclose(covered(regions, boxes), [0.75, 0.25, 0.25], atol=1e-12)


def test_noise_is_relative_to_the_range_and_seeded() -> None:
    x = torch.tensor([[0.0, 4.0]])
    one = noisy(x, 2000, 0.1, np.random.default_rng(0))
    assert one.shape == (2000, 2)
    assert float((one - x).std()) == pytest.approx(0.4, rel=0.05)
    torch.testing.assert_close(one, noisy(x, 2000, 0.1, np.random.default_rng(0)))


def test_a_run_that_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(MemoryError, match=r"16\.0 GiB.*8\.0 GiB"):
        check_fits(16 * 2**30, 8 * 2**30, what="one backward row")
    check_fits(6 * 2**30, 8 * 2**30, what="one backward row")


def test_backward_memory_counts_what_autograd_saves() -> None:
    vlm = ToyVLM()
    box = vlm.white_box(toy_sample())
    small = backward_bytes(box)
    box.pixels = box.pixels.repeat(16, 1, 1, 1)
    box.question = box.question.repeat(16, 1, 1)
    assert 0 < small < backward_bytes(box) <= 16 * small
