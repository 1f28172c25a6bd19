"""Pairs of a sparse proxy, where its extra is installed; what is said where it is not."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from support.fakes import ToyVLM, toy_sample

from toolkit.explainers import explain
from toolkit.explainers.proxyspex_interaction import ProxySpexInteraction
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import Players
from toolkit.testing import FakeVLM, fake_sample

NAME = "proxyspex-interaction"


def sparse() -> tuple[FakeVLM, dict[tuple[int, int], float]]:
    """Twelve cells and four words, two pairs of which do something, and a single cell."""
    players = Players.make(tuple("abcdefghijkl"), tuple("wxyz"))
    return FakeVLM(SumOfUnanimityGames(players, {(2, 13): 1.0, (7, 15): -0.9, (4,): 0.7})), {(2, 1): 1.0, (7, 3): -0.9}


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ModuleNotFoundError, match=r"vlm-synergy-toolkit\[trees\]"):
        explain(NAME, ToyVLM(), toy_sample())


def test_it_finds_the_pairs_that_there_are_leaves_the_others_at_zero_and_repeats_itself() -> None:
    pytest.importorskip("lightgbm", reason="extra `trees` is not installed")
    vlm, known = sparse()
    sample = fake_sample(grid=(3, 4), question="one two three four", evidence=((2,), (1,)))
    found = explain(NAME, vlm, sample)
    truth = np.zeros((12, 4))
    for pair, value in known.items():
        truth[pair] = value
    np.testing.assert_allclose(found.pairs, truth, atol=0.02)
    assert (found.pairs == 0).sum() >= 40
    assert found.n_evaluations == found.details["budget"] == 1024
    np.testing.assert_array_equal(explain(NAME, vlm, sample).pairs, found.pairs)
    searched = explain(ProxySpexInteraction(budget=256, search=True), vlm, sample)
    assert np.abs(searched.pairs - truth).max() < 0.2


def test_a_game_that_never_changes_has_no_pairs_and_two_players_are_too_few() -> None:
    pytest.importorskip("lightgbm", reason="extra `trees` is not installed")
    still = FakeVLM(SumOfUnanimityGames(ToyVLM().players(toy_sample()), {(): 0.5}))
    assert not explain(NAME, still, toy_sample()).pairs.any()
    two = FakeVLM(SumOfUnanimityGames(Players.make(("a",), ("x",)), {(0, 1): 1.0}))
    with pytest.raises(ValueError, match="needs 3 players, got 2"):
        explain(NAME, two, fake_sample(grid=(1, 1), question="one", evidence=((0,), (0,))))
