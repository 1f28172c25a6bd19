import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from known_vlm import KnownVLM, known_sample

import toolkit.validity
from toolkit.games import CachedGame
from toolkit.registry import UnknownNameError
from toolkit.validity.controls import control
from toolkit.validity.flaws import (
    FLAWS,
    Case,
    RoundedGame,
    SlicedGame,
    _second_target,
    ablate,
    correct,
    kendall_distance,
    merge_block_order,
)

EXPLAINERS = ("occlusion", "random", "oracle")


def case(number=0):
    vlm, sample = KnownVLM(), known_sample(number)
    game = vlm.game(sample)
    evidence = game._needed.astype(float)
    attributions = tuple(control(kind, evidence, game.players, "yes") for kind in ("oracle", "random", "anti-oracle"))
    return Case(vlm, sample, attributions, CachedGame(game))


def test_every_flaw_of_the_list_has_a_line():
    table = ablate(KnownVLM(), [known_sample(i) for i in range(4)], EXPLAINERS)
    assert sorted(table["number"]) == list(range(15))
    none = table.loc["none"]
    assert none["mean change"] == 0
    assert none["Kendall distance"] == 0
    assert none["oracle - anti-oracle"] > 0.3
    assert "distinct" in table.loc["no-cache", "note"]
    with pytest.raises(UnknownNameError, match="clip"):
        ablate(KnownVLM(), [known_sample(0)], EXPLAINERS, flaws=["clipp"])


def test_scoring_another_token_turns_the_sign():
    it = case()
    assert _second_target(it) == "no"
    wrong = FLAWS["other-token"].score(it)
    assert wrong == pytest.approx([-value for value in correct(it)], abs=1e-12)


def test_clipping_never_scores_below_zero():
    assert min(FLAWS["clip"].score(case())) >= 0


def test_rounding_is_bfloat16():
    import torch

    values = np.random.default_rng(0).random(50)

    class Fixed:
        players = None

        def __call__(self, coalitions):
            return values

    expected = torch.tensor(values).to(torch.bfloat16).double().numpy()
    assert RoundedGame(Fixed())(np.empty((50, 0), dtype=bool)) == pytest.approx(expected, abs=1e-12)


def test_sliced_masks_cut_strips_of_pixels():
    it = case()
    height, width = 8, 8
    picture = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    from PIL import Image

    sample = replace(it.sample, image=Image.fromarray(picture))
    game = SlicedGame(Case(it.vlm, sample, it.attributions, it.game), baseline="mean")
    mask = np.zeros(16, dtype=bool)
    mask[3] = True
    shown = np.asarray(game._spoil(mask).image)
    same = (shown == picture).all(axis=2)
    expected = np.zeros((8, 8), dtype=bool)
    expected[1, 4:8] = (
        True  # sixteen "cells" of four pixels in reading order: number 3 is half of row 1, not a 2 x 2 cell
    )
    assert (same & expected).sum() == 4
    assert same.sum() <= 5


def test_merge_blocks_visit_two_by_two_cells():
    assert merge_block_order(16)[:6].tolist() == [0, 1, 4, 5, 2, 3]
    assert sorted(merge_block_order(36)) == list(range(36))


def test_kendall_distance_counts_pairs_that_turned():
    right = np.array([3.0, 2.0, 1.0])
    assert kendall_distance(right, right) == 0
    assert kendall_distance(right, -right) == 3
    assert kendall_distance(right, np.array([3.0, 1.0, 2.0])) == 1
    assert kendall_distance(right, np.array([3.0, 1.0, 1.0])) == 1


def test_nothing_right_imports_the_flaws():
    folder = Path(toolkit.validity.__file__).parent
    allowed = {"flaws.py", "validation.py"}
    for path in folder.parent.rglob("*.py"):
        if path.parent == folder and path.name in allowed:
            continue
        names = [
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        ]
        assert not any(name.endswith("validity.flaws") for name in names), path
