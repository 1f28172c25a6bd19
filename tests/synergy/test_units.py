"""Metrics of games about log-probabilities: in nats, without bounds, and unscored where a probability is needed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.random_games import random_case

from toolkit.games.game import CachedGame
from toolkit.games.target import Contrast, Sentence, Word
from toolkit.synergy import METRICS, insertion_deletion, synergistic_faithfulness
from toolkit.synergy.evaluate import evaluate_all
from toolkit.synergy.gain import synergy_gain

NEEDS = {"f-syn-paper", "f-syn-normalised", "f-syn-share"}


@pytest.fixture
def case():
    game, attribution = random_case(0, 6, 4)
    return CachedGame(game), attribution


def about(attribution, target):
    return replace(attribution, target=str(target))


@pytest.mark.parametrize("target", [Sentence("a red circle"), Contrast("yes", "no")], ids=str)
def test_of_logarithms_only_what_needs_a_probability_is_unscored(case, target) -> None:
    game, attribution = case
    (odds,) = evaluate_all(game, [about(attribution, target)], 4, metrics=[*METRICS])
    (plain,) = evaluate_all(game, [about(attribution, Word("yes", 1))], 4, metrics=[*METRICS])
    for name, score in odds.items():
        if name in NEEDS:
            assert math.isnan(score.value)
            assert score.reason == f"{name} is defined for probabilities; the values of this game are in nats"
            assert plain[name].reason is None or "share" in name
        else:
            assert score.value == plain[name].value or score.reason == plain[name].reason
            of_its_own = METRICS[name].spec.unit not in ("probability", "nats")
            expected = METRICS[name].spec.unit if of_its_own else "nats"
            assert (score.metric.unit, score.metric.range) == (expected, (-math.inf, math.inf))
            assert plain[name].metric == METRICS[name].spec


def test_the_functions_and_their_views_say_the_same(case) -> None:
    game, attribution = case
    odds = about(attribution, Contrast("yes", "no"))
    found = synergistic_faithfulness(game, odds, 4)
    assert found.metric.unit == "nats"
    assert math.isfinite(found.value)
    assert math.isfinite(found.interior.value)
    assert found.interior.metric.unit == "nats"
    for view in (found.paper, found.normalised, synergy_gain(game, odds, 4).share):
        assert math.isnan(view.value)
        assert "defined for probabilities" in view.reason
    assert insertion_deletion(game, odds, modality="image").srg.metric.unit == "nats"
    assert np.isfinite(synergistic_faithfulness(game, attribution, 4).paper.value)
