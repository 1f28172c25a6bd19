"""The exact fact about F_syn on real forward passes: tiny models of all three families, trained ones where present."""

import numpy as np
import pytest
from PIL import Image
from support.subjects import RANDOM_TINY, TRAINED, make_subject

from toolkit.datasets.sample import Sample
from toolkit.games.attribution import Attribution
from toolkit.games.interactions import shapley_interaction_index
from toolkit.synergy import evaluate_all, synergistic_faithfulness, synergy_surface, top_coalitions
from toolkit.synergy.evaluate import plan_metrics


def make_game(name):
    vlm = make_subject(name)
    pixels = np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((192, 192), Image.Resampling.NEAREST)
    return vlm.game(Sample("s", image, "is there a red circle ?", "answer yes or no", ("yes", "no")))


@pytest.mark.parametrize("name", [*RANDOM_TINY, *TRAINED])
def test_f_syn_of_a_model_is_the_interaction_index_at_every_k(name):
    game = make_game(name)
    scores = np.random.default_rng(1).random(game.players.n)
    attribution = Attribution(scores, game.players, "random", game.target)
    planned = plan_metrics([attribution]).n_coalitions
    before = game.n_evaluations
    found = evaluate_all(game, [attribution])[0]
    assert game.n_evaluations - before <= planned
    spent = game.n_evaluations
    score = synergistic_faithfulness(game, attribution)
    assert score.value == found["f-syn"].value
    image = top_coalitions(attribution, "image", score.fractions)
    text = top_coalitions(attribution, "text", score.fractions)
    for k in range(11):
        index = shapley_interaction_index(game, image[k], text[k])
        assert abs(score.curve[k] - index.value) <= 1e-12
    assert game.n_evaluations == spent, "the index reads no coalition that the curves have not paid for"
    assert np.abs(score.curve[1:]).max() > 0
    surface = synergy_surface(game, attribution)
    assert np.abs(surface.diagonal - score.curve).max() <= 1e-12
