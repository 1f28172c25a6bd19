import numpy as np
import pytest

from toolkit.games.analytic import and_gate
from toolkit.games.attribution import Attribution
from toolkit.games.derived import CoarseGame, RenamedGame, merged_cells, random_order
from toolkit.games.game import all_coalitions
from toolkit.synergy import synergistic_faithfulness
from toolkit.vlm.adapters.adapter_base import grid_regions


def test_renaming_moves_values_and_scores_together():
    game = and_gate(3, 2, image=(0,), text=(1,))
    renamed = RenamedGame(game, np.array([2, 0, 1, 4, 3]))
    coalitions = all_coalitions(5)
    needed = coalitions[:, 1] & coalitions[:, 3]
    assert renamed(coalitions).tolist() == needed.astype(float).tolist()
    scores = np.array([5.0, 1.0, 2.0, 3.0, 9.0])
    moved = renamed.rename(Attribution(scores, game.players, "m", ""))
    assert moved.scores.tolist() == [2.0, 5.0, 1.0, 9.0, 3.0]
    there = synergistic_faithfulness(game, Attribution(scores, game.players, "m", "")).value
    assert synergistic_faithfulness(renamed, moved).value == there
    with pytest.raises(ValueError, match="permute the image players"):
        RenamedGame(game, np.array([3, 0, 1, 2, 4]))


def test_random_order_keeps_modalities_apart():
    order = random_order(and_gate(6, 3).players, np.random.default_rng(0))
    assert sorted(order[:6]) == list(range(6))
    assert sorted(order[6:]) == [6, 7, 8]


def test_coarse_cells_are_present_together():
    game = and_gate(16, 2, image=(5,), text=(1,))
    group_of = merged_cells(grid_regions(4, 4))
    assert group_of.tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]
    coarse = CoarseGame(game, group_of)
    assert coarse.players.n_image == 4
    coalitions = all_coalitions(6)
    assert coarse(coalitions).tolist() == (coalitions[:, 0] & coalitions[:, 5]).astype(float).tolist()
    merged = coarse.merge(Attribution(np.arange(18.0), game.players, "m", ""))
    assert merged.scores.tolist() == [10.0, 18.0, 42.0, 50.0, 16.0, 17.0]
    with pytest.raises(ValueError, match="one group per image player"):
        CoarseGame(game, group_of[:3])
