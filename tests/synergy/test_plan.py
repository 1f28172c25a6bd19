"""The planner: distinct cells, distinct images, and the counts that the metrics cost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_games import Spy

from toolkit.games.analytic import and_gate
from toolkit.games.attribution import Attribution
from toolkit.games.coalition_plan import plan_coalitions
from toolkit.games.game import Players
from toolkit.registry import UnknownNameError
from toolkit.synergy.evaluate import evaluate_all, plan_metrics
from toolkit.synergy.metrics import DEFAULT_METRICS, METRICS

WIDE = Players.make(tuple(f"i{i}" for i in range(300)), tuple(f"t{i}" for i in range(200)))


def attributions(n, players=WIDE, seed=0):
    rng = np.random.default_rng(seed)
    return [Attribution(rng.random(players.n), players, f"random {i}", "") for i in range(n)]


def test_one_explainer_needs_76_cells_and_20_images():
    plan = plan_metrics(attributions(1))
    assert (plan.n_coalitions, plan.n_images) == (76, 20)


def test_the_paper_asks_for_118_of_which_76_are_distinct():
    unimodal = plan_metrics(attributions(1), ["srg-image", "srg-text"])
    assert (unimodal.n_requested, unimodal.n_coalitions, unimodal.n_images) == (44, 39, 20)
    assert plan_metrics(attributions(1), ["f-syn"]).n_coalitions == 58
    assert plan_metrics(attributions(1), ["total-interaction"]).n_coalitions == 4


def test_nine_explainers_need_652_cells_and_164_images_if_none_coincide():
    plan = plan_metrics(attributions(9))
    assert (plan.n_coalitions, plan.n_images) == (652, 164)


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_the_counts_follow_their_formula(steps):
    for n in (1, 3):
        plan = plan_metrics(attributions(n), steps=steps)
        if steps == 1:
            assert (plan.n_coalitions, plan.n_images) == (4, 2)
        elif steps % 2:
            assert (plan.n_coalitions, plan.n_images) == (4 + n * 8 * (steps - 1), 2 + n * 2 * (steps - 1))
        else:
            assert plan.n_coalitions == 4 + n * 8 * (steps - 1)


def test_attributions_that_coincide_cost_less():
    first, second = attributions(2)
    assert plan_metrics([first, first]).n_coalitions == 76
    scores = first.scores.copy()
    scores[300:] = second.scores[300:]
    half = Attribution(scores, WIDE, "same image order", "")
    plan = plan_metrics([first, half])
    assert plan.n_images == 20
    assert 76 < plan.n_coalitions < 148


@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 60), st.integers(0, 10**6))
def test_a_plan_is_the_distinct_coalitions_grouped_by_image(n_image, n_text, n, seed):
    players = Players.make(tuple(map(str, range(n_image))), tuple(map(str, range(n_text))))
    asked = np.random.default_rng(seed).random((n, players.n)) < 0.5
    plan = plan_coalitions(asked, players)
    assert np.array_equal(plan.coalitions[plan.inverse], asked)
    assert plan.n_coalitions == len({row.tobytes() for row in asked})
    assert plan.n_images == len({row[:n_image].tobytes() for row in asked})
    assert plan.n_requested == n
    rebuilt = [
        np.concatenate([np.broadcast_to(plan.images[i], (len(plan.texts(i)), n_image)), plan.texts(i)], axis=1)
        for i in range(plan.n_images)
    ]
    assert np.array_equal(np.concatenate([asked[:0], *rebuilt]), plan.coalitions)
    values = np.arange(plan.n_coalitions, dtype=float)
    assert np.array_equal(plan.spread(values), plan.inverse)
    assert np.array_equal(plan.spread(values.tolist()), plan.inverse)  # somebody's game may return a list


def test_a_plan_checks_what_it_is_given():
    with pytest.raises(ValueError, match="expected"):
        plan_coalitions(np.ones((2, 3), dtype=bool), WIDE)
    with pytest.raises(ValueError, match="for each of the 76 coalitions"):
        plan_metrics(attributions(1)).spread(np.zeros(75))
    with pytest.raises(ValueError, match="nothing to plan"):
        plan_metrics([])
    with pytest.raises(ValueError, match="nothing to plan"):
        plan_metrics(attributions(1), [])
    with pytest.raises(ValueError, match="plan by sample"):
        plan_metrics([*attributions(1), *attributions(1, and_gate(2, 2).players)])
    with pytest.raises(UnknownNameError, match="Did you mean 'f-syn'"):
        plan_metrics(attributions(1), ["fsyn"])


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_reads_exactly_the_coalitions_that_it_declares(name):
    inner = and_gate(40, 20, image=[1], text=[2])
    spy = Spy(inner)
    (attribution,) = attributions(1, inner.players)
    score = METRICS[name](spy, attribution)
    declared = plan_metrics([attribution], [name])
    assert len(spy.asked) == 1, "a metric asks once"
    found = plan_coalitions(spy.asked[0], inner.players)
    assert np.array_equal(found.coalitions, declared.coalitions)
    assert score.n_evaluations == declared.n_coalitions
    assert score.metric is METRICS[name].spec
    assert score.metric.name == name


def test_evaluate_all_asks_once_and_scores_as_each_metric_alone():
    inner = and_gate(40, 20, image=[1, 2], text=[2, 5])
    spy = Spy(inner)
    three = attributions(3, inner.players)
    names = tuple(METRICS)
    scores = evaluate_all(spy, three, metrics=names)
    assert spy.n_asked == [plan_metrics(three, names).n_coalitions]
    for attribution, found in zip(three, scores, strict=True):
        assert list(found) == list(names)
        for name in names:
            alone = METRICS[name](inner, attribution)
            assert found[name].value == pytest.approx(alone.value, abs=1e-12)
            assert found[name].n_evaluations == alone.n_evaluations
    assert tuple(evaluate_all(inner, three)[0]) == DEFAULT_METRICS


def test_evaluate_all_refuses_an_attribution_of_another_game():
    with pytest.raises(ValueError, match="explain the same sample"):
        evaluate_all(and_gate(2, 2), attributions(1))
