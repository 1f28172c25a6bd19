"""The fakes of :mod:`toolkit.testing` keep what the protocols promise of a model."""

from __future__ import annotations

import numpy as np
import pytest
import shapiq.approximator  # noqa: F401  # its import draws from Python's random numbers
import torch
from support.extras import runnable

from toolkit.explainers import EXPLAINERS, check_explainer
from toolkit.games.analytic import SumOfUnanimityGames, xor_gate
from toolkit.games.game import Players, TableGame, all_coalitions
from toolkit.testing import FakeVLM, fake_sample

PLAYERS = Players.make(("c0", "c1"), ("is", "it"))
SAMPLE = fake_sample(3, grid=(1, 2), question="is it", evidence=((1,), (1,)))
TERMS = {(): 0.5, (0,): -0.125, (1, 3): 0.25, (0, 1, 2): 0.0625}


def game() -> SumOfUnanimityGames:
    return SumOfUnanimityGames(PLAYERS, TERMS)


def test_the_model_plays_the_game_that_it_was_given_and_the_other_answer_has_the_rest() -> None:
    vlm, everything = FakeVLM(game()), all_coalitions(4)
    yes, no = (vlm.game(SAMPLE, target=target) for target in ("yes", "no"))
    np.testing.assert_array_equal(yes(everything), game()(everything))
    np.testing.assert_array_equal(no(everything), 1 - game()(everything))
    np.testing.assert_array_equal(
        FakeVLM(TableGame(PLAYERS, yes(everything))).game(SAMPLE)(everything), yes(everything)
    )
    np.testing.assert_array_equal(FakeVLM(lambda *_: game()).game(SAMPLE)(everything), yes(everything))
    answer = vlm.answer(SAMPLE)
    assert (answer.text, answer.probability, answer.by_choice) == ("yes", 0.6875, {"yes": 0.6875, "no": 0.3125})


def test_the_inside_agrees_with_the_game_at_every_corner_and_its_slopes_are_known() -> None:
    box = FakeVLM(game()).white_box(SAMPLE)
    pixels, question = box.pixels.clone().requires_grad_(True), box.question.clone().requires_grad_(True)
    slopes = torch.autograd.grad(box.logit(pixels, question).sum(), (pixels, question))
    scores = torch.cat([box.pixels_to_players(slopes[0])[0], slopes[1].sum(-1)[0]])
    assert scores.tolist() == pytest.approx([-0.0625, 0.3125, 0.0625, 0.25])
    assert torch.equal(box.score(pixels, question).exp(), box.logit(pixels, question).log().exp())


def test_evaluations_and_questions_are_counted_apart() -> None:
    vlm = FakeVLM(game())
    played = vlm.game(SAMPLE, target="yes")
    played(all_coalitions(4)[[1, 2, 1]])
    played(all_coalitions(4)[[2]])
    assert (played.n_asked, played.n_evaluations, vlm.n_games) == (4, 2, 1)


@pytest.mark.parametrize(
    "name", runnable(name for name in EXPLAINERS if EXPLAINERS[name]().needs <= {"game", "gradients", "truth"})
)
def test_explainers_without_attention_pass_their_checks_on_it(name: str) -> None:
    assert [check.name for check in check_explainer(name, FakeVLM(game()), SAMPLE) if not check.passed] == []


def test_absent_cells_are_black_and_the_grid_is_as_square_as_it_can_be() -> None:
    shown = np.asarray(FakeVLM(game()).masked_image(SAMPLE, np.array([True, False, True, True])))
    assert shown[:, :16].any(axis=2).all()
    assert not shown[:, 16:].any()
    for n, (rows, columns) in {1: (1, 1), 7: (1, 7), 12: (3, 4), 36: (6, 6)}.items():
        regions = FakeVLM(xor_gate(n, 1)).regions(SAMPLE)
        assert (len(np.unique(regions[:, 1])), len(np.unique(regions[:, 0]))) == (rows, columns)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(TypeError, match="no inside; give FakeVLM a SumOfUnanimityGames"):
        FakeVLM(TableGame(PLAYERS, np.zeros(16))).white_box(SAMPLE)
    with pytest.raises(ValueError, match="has 6 words, the game 2 text players"):
        FakeVLM(game()).text_spans(fake_sample())
