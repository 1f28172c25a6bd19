"""The parts of a word's probability sum to it, and a model that cannot see gives nothing to the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.subjects import make_subject, sample

from toolkit.games.game import QuotientGame
from toolkit.games.interactions import shapley_values
from toolkit.redundancy.word_origins import word_origins

ANSWER = "a red circle"


@pytest.fixture(scope="module")
def vlm():
    return make_subject("random-tiny-llava")


def asked(question: str = "what is red ?"):
    return replace(sample(1, question=question), choices=None)


def test_the_image_gets_its_shapley_value(vlm) -> None:
    found = word_origins(vlm, asked(), ANSWER, n_orders=512)
    assert [word.part.text for word in found] == ANSWER.split()
    for word in found:
        game = vlm.game(asked(), target=word.part.target)
        image = game.players.of("image")
        words = np.flatnonzero(game.players.of("text"))
        exact = shapley_values(QuotientGame(game, [image, *([i] for i in words)]))
        assert word.low <= word.image <= word.high
        assert abs(word.image - exact[0]) <= 2 * (word.high - word.low) + 1e-9
        assert word.prior + word.image + word.question == pytest.approx(word.probability, abs=1e-12)
        assert word.question == pytest.approx(exact[1:].sum(), abs=2 * (word.high - word.low) + 1e-9)


def test_a_model_that_cannot_see_gives_nothing_to_the_image() -> None:
    blind = make_subject("random-tiny-llava")
    with torch.no_grad():
        for weight in blind.model.model.multi_modal_projector.parameters():
            weight.zero_()
    for word in word_origins(blind, asked(), ANSWER, n_orders=8):
        assert (word.image, word.low, word.high) == pytest.approx((0, 0, 0), abs=1e-7)


def test_all_words_cost_what_one_costs(vlm) -> None:
    vlm.forget()
    before = vlm.engine.counters.queries
    word_origins(vlm, asked("is there a red circle ?"), ANSWER, n_orders=16)
    spent = vlm.engine.counters.queries - before
    assert 2 < spent <= 2 * 16 + 2 + 2  # and the two ways of writing the answer


@pytest.mark.parametrize(("how", "message"), [({"n_orders": 5}, "in pairs"), ({"per": "sentence"}, "log-probab")])
def test_what_cannot_be_split_is_refused(vlm, how, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        word_origins(vlm, asked(), ANSWER, **how)
